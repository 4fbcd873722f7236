//! Every example runs and finds its own result right: on the simulator, or with `PSIONIC_TEST_BACKEND=cuda` on the GPU.

use std::process::Command;

use cuda_device::BackendChoice;

/// Runs an example, and gives what it printed.
fn run(program: &str) -> String {
    let device = if matches!(BackendChoice::for_tests(), BackendChoice::Cuda) { "cuda" } else { "sim" };
    let output = Command::new(program).arg(device).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

macro_rules! examples {
    ($($test:ident = $name:literal, $printed:literal;)*) => {$(
        #[test]
        fn $test() {
            let printed = run(env!(concat!("CARGO_BIN_EXE_", $name)));
            assert!(printed.starts_with($printed), "{printed}");
        }
    )*

        #[test]
        fn none_is_left_out() {
            let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
            let files = std::fs::read_dir(std::path::Path::new(&folder).join("src/bin")).unwrap();
            let mut names: Vec<String> = files
                .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            assert_eq!(names, [$($name),*]);
        }
    };
}

examples! {
    vector_add = "01_vector_add", "c: 10000 elements";
    saxpy = "02_saxpy", "y: 50000 elements";
    reduction = "03_reduction", "sum: 1 elements";
    transpose = "04_transpose", "transposed: 42500 elements";
    tiled_gemm = "05_tiled_gemm", "c: 6300 elements";
    histogram = "06_histogram", "counts: 256 bins, 60000 bytes";
    async_copies = "07_async_copies", "reversed: 25600 elements";
    mma_gemm = "08_mma_gemm", "c: 12288 elements";
    grid_barrier = "09_grid_barrier", "rod: 1000 elements";
    int8_matvec = "10_int8_matvec", "y: 96 elements";
    q4k_matvec = "11_q4k_matvec", "naive: 32 elements";
}

#[test]
fn an_unknown_device_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_01_vector_add")).arg("tpu").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("`cuda` or `sim`, not `tpu`"));
}
