//! Blocks of the persistent engine that wait for each other in vain: the launch ends, and says what they waited for.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::machine;
use crate::tiny::Tiny;
use cuda_sim::FaultKind;
use cuda_std::launch::LaunchConfig;
use psionic::decode::{Activations, DecodeError, persistent_plan};
use psionic::device::{Device, DeviceError, Mailbox};
use psionic::model::Model;
use psionic::quant::QuantType::Q4K;
use psionic_kernels::layout::{Kind, Matrix};
use psionic_kernels::persistent::plan::THREADS;
use psionic_kernels::persistent::{Exchanges, Profile, Tokens, Weights, decode};

/// Set where the test runs in a process of its own.
const ALONE: &str = "PSIONIC_TEST_ALONE";

/// Nanoseconds that blocks of a GPU wait here.
const PATIENCE: u64 = 50_000_000;

/// Bytes of zeros: more than any table, vector or block's stream of tiles that a tiny model has.
const ZEROS: usize = 4 << 20;

/// Words of an exchange: more than a tiny model has in any.
const WORDS: usize = 1 << 16;

/// Runs a token of a model of zeros, without the blocks of the last `missing` groups, whose part in the sums never comes.
fn run(device: &Device, report: &Mailbox, missing: u32) -> Result<(), DeviceError> {
    let tiny = Tiny { head_dim: 128, layers: 1, ..Tiny::new(Q4K) };
    let (_dir, file) = tiny.file(94);
    let model = Model::from_gguf(&file).unwrap();
    let plan = persistent_plan(device, &model, tiny.context, Activations::Int8).unwrap();
    // Zero is the number of `Q4_K`'s tiles, the beginning of every stream, and token 0.
    let zeros = device.zeroed::<u8>(ZEROS)?;
    let cache = device.zeroed::<u8>(ZEROS)?;
    let tokens = device.zeroed::<u32>(tiny.context + 1)?;
    let logits = device.zeroed::<f32>(tiny.vocab)?;
    let words = device.zeroed::<u64>(7 * WORDS)?;
    let words = |i: usize| words.as_mut_ptr().add(i * WORDS).as_host();
    let (rows, cols) = (tiny.vocab as u32, tiny.hidden as u32);
    let zero = zeros.as_ptr();
    let args = decode::Args {
        plan,
        shared: plan.shared(),
        weights: Weights {
            tiles: zero.as_host(),
            streams: zero.cast().as_host(),
            norms: zero.cast().as_host(),
            q_norms: zero.cast().as_host(),
            k_norms: zero.cast().as_host(),
            rope: zero.cast().as_host(),
            embedding: Matrix {
                data: zero.as_host(),
                rows,
                cols,
                kind: Kind::F16,
                first_block: 0,
                blocks: 1,
            },
            keys: cache.as_mut_ptr().cast().as_host(),
            values: cache.as_mut_ptr().add(ZEROS / 2).cast().as_host(),
        },
        exchanges: Exchanges {
            heads: words(0),
            partials: words(1),
            hidden: words(2),
            best: words(3),
            residual: words(4),
            output: words(5),
            down: words(6),
        },
        tokens: Tokens { ids: tokens.as_mut_ptr().as_host(), start: 0, count: 1, known: 2, epoch: 0 },
        logits: logits.as_mut_ptr(),
        patience: PATIENCE,
        report: report.as_mut_ptr(),
        profile: Profile { times: std::ptr::null_mut() },
    };
    device.synchronize()?;
    let start = Instant::now();
    let config = LaunchConfig::new((plan.groups - missing) * plan.blocks, THREADS)
        .shared_bytes(plan.shared().bytes)
        .cooperative();
    // SAFETY: all memory is larger than the plan needs, zeros are weights of any kind, and the buffers live until the
    // device is synchronised. That blocks are missing is what this is about: the others wait, and touch nothing.
    let result = unsafe { device.launch(config, args) }.and_then(|()| device.synchronize());
    assert!(!machine::is_gpu() || start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    result
}

fn check() {
    let device = machine::device();
    let report = device.mailbox(3).unwrap();
    run(&device, &report, 0).expect("with all blocks it ends");
    assert!(DecodeError::stuck(&report).is_none(), "nothing is stuck yet");
    let error = run(&device, &report, 1).expect_err("without some it cannot end well");
    if let DeviceError::Fault(fault) = &error {
        // The simulator sees that nobody will ever write, and does not wait for the clock.
        assert!(matches!(fault.kind, FaultKind::Deadlock { .. }), "{fault}");
        return;
    }
    // Those who multiply wait for the missing blocks' elements of the residual stream; those who keep the others wait
    // for the missing blocks' part in the sums. Who is first says so.
    match DecodeError::stuck(&report) {
        Some(DecodeError::Stuck { exchange: "the residual stream" | "the output projection", .. }) => {}
        other => panic!("a stuck launch says in which exchange, not {other:?} ({error})"),
    }
    println!("{}; the driver: {error}", DecodeError::stuck(&report).unwrap());
}

#[test]
fn a_wait_that_nobody_ends_is_ended_with_its_name() {
    if !machine::is_gpu() || std::env::var_os(ALONE).is_some() {
        return check();
    }
    // A launch that ends itself takes the context of its process with it, and other tests use that.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "watchdog::a_wait_that_nobody_ends_is_ended_with_its_name", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    println!("{text}");
}
