//! What the mat-vec kernels `project`, `project_f32` and `gate_up` are measured with.

use std::borrow::Cow;

use cuda_std::launch::{DevicePtr, LaunchConfig};
use psionic_kernels::{activation, gate_up, layout, project, project_f32, swiglu};

use super::activations::Activations;
use super::bounds;
use super::case::{Case, Prepared};
use super::expected::{Expected, Near, Outputs};
use super::stored::Stored;
use crate::decode::launches::{DeviceMatrix, mat_vec_blocks, share};
use crate::decode::pack::{kind, pack, packed_len};
use crate::device::{Buffer, Device, DeviceError};
use crate::quant::QuantType;
use crate::random::Random;

const EPS: f32 = 1e-2;

/// Rows that are compared with float64, of matrices with more.
const SAMPLE: usize = 1024;

/// Which kernel it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Matrices times a vector in 8-bit codes.
    Project,
    /// Matrices times a vector of floats.
    ProjectF32,
    /// SwiGLU of two matrices times a vector in 8-bit codes.
    GateUp,
}

/// A case in numbers.
#[derive(Clone)]
pub struct Spec {
    op: Op,
    name: &'static str,
    matrices: Vec<(QuantType, usize)>,
    cols: usize,
    norm: bool,
    add: bool,
}

impl Spec {
    /// Matrices of these formats and rows, times a vector of `cols` numbers.
    pub fn new(op: Op, name: &'static str, matrices: &[(QuantType, usize)], cols: usize) -> Self {
        Self { op, name, matrices: matrices.to_vec(), cols, norm: false, add: false }
    }

    /// With the vector normalised first.
    pub fn norm(self) -> Self {
        Self { norm: true, ..self }
    }

    /// With the result added to what is there.
    pub fn add(self) -> Self {
        Self { add: true, ..self }
    }

    /// Outputs.
    fn outputs(&self) -> usize {
        let rows = self.matrices.iter().map(|(_, rows)| rows);
        if self.op == Op::GateUp { self.matrices[0].1 } else { rows.sum() }
    }

    /// As a case.
    pub fn case(self) -> Case {
        let kernel = match self.op {
            Op::Project => "project",
            Op::ProjectF32 => "project_f32",
            Op::GateUp => "gate_up",
        };
        let weights = self
            .matrices
            .iter()
            .map(|&(quant, rows)| layout::Planes::new(kind(quant), rows, self.cols).bytes);
        let vectors = self.cols * if self.norm { 2 } else { 1 };
        let outputs = self.outputs() * if self.add { 2 } else { 1 };
        let bytes = weights.sum::<usize>() + (vectors + outputs) * size_of::<f32>();
        let rows: Vec<String> = self.matrices.iter().map(|(quant, rows)| format!("{rows} {quant}")).collect();
        let shape = format!("({}) x {}", rows.join(" + "), self.cols);
        Case::new(kernel, self.name, shape, bytes, move |device, copies, random| {
            MatVec::new(device, &self, copies, random).map(|matvec| Box::new(matvec) as _)
        })
    }
}

struct MatVec<'d> {
    device: &'d Device,
    spec: Spec,
    copies: Vec<Copy>,
    expected: Expected,
}

struct Copy {
    matrices: Vec<DeviceMatrix>,
    x: Buffer<f32>,
    /// Of no elements where nothing is normalised.
    norm: Buffer<f32>,
    out: Buffer<f32>,
}

impl<'d> MatVec<'d> {
    fn new(device: &'d Device, spec: &Spec, copies: usize, random: &mut Random) -> Result<Self, DeviceError> {
        let cols = spec.cols;
        // Gates from about -10 to 10, where SiLU bends and beyond; other outputs around 1.
        let size = if spec.op == Op::GateUp { 3.0 } else { 1.0 };
        let std = size * (cols as f32).sqrt().recip();
        let stored: Vec<Stored> = spec
            .matrices
            .iter()
            .map(|&(quant, rows)| Stored::random(quant, (rows, cols), std, random))
            .collect();
        let norm = random.norm_weights(if spec.norm { cols } else { 0 });
        let (x, v) = decided(cols, spec.norm.then_some(&norm), random);
        let outputs = spec.outputs();
        let before = if spec.add { random.normals(outputs) } else { vec![f32::NAN; outputs] };

        let packed: Vec<Vec<u8>> = stored
            .iter()
            .map(|m| {
                let mut packed = vec![0; packed_len(&m.view())];
                pack(&m.view(), &mut packed);
                packed
            })
            .collect();
        let copy = |_| {
            let matrices = stored.iter().zip(&packed);
            Ok(Copy {
                matrices: matrices
                    .map(|(m, packed)| DeviceMatrix::upload(device, &m.view(), packed))
                    .collect::<Result<_, _>>()?,
                x: device.upload(&x)?,
                norm: device.upload(&norm)?,
                out: device.zeroed(outputs)?,
            })
        };
        let copies = (0..copies).map(copy).collect::<Result<_, DeviceError>>()?;
        let near = expected(spec, &stored, &v, &before, random);
        let expected = Expected { before, near, words: Vec::new() };
        Ok(Self { device, spec: spec.clone(), copies, expected })
    }
}

/// A vector whose codes are beyond doubt, so that a result need not be allowed another code's step.
pub(super) fn decided(cols: usize, norm: Option<&Vec<f32>>, random: &mut Random) -> (Vec<f32>, Activations) {
    loop {
        let x = random.normals(cols);
        let v = Activations::new(&x, norm.map(Vec::as_slice), EPS);
        if v.is_decided() {
            return (x, v);
        }
    }
}

/// What float64 gives for a sample of the outputs, the first and the last of each matrix among them.
fn expected(
    spec: &Spec,
    stored: &[Stored],
    v: &Activations,
    before: &[f32],
    random: &mut Random,
) -> Vec<Near> {
    let dot = |row: &[f64], x: &[f64]| project::reference(row, x)[0];
    if spec.op == Op::GateUp {
        let near = |index| {
            let (gate, up) = (stored[0].row(index), stored[1].row(index));
            let (g, u) = (dot(&gate, &v.rounded), dot(&up, &v.rounded));
            let bound = bounds::gate_up(v, (&gate, g), (&up, u));
            Near { index, value: swiglu::reference(&[g], &[u])[0], bound }
        };
        return sample(spec.outputs(), random).into_iter().map(near).collect();
    }
    let (mut all, mut first) = (Vec::new(), 0);
    for m in stored {
        for row in sample(m.rows, random) {
            let (index, weights) = (first + row, m.row(row));
            let (value, bound) = match spec.op {
                Op::ProjectF32 => (dot(&weights, &v.exact), bounds::float_dot(&weights, &v.exact)),
                _ => (dot(&weights, &v.rounded), v.bound(&weights)),
            };
            let (there, rounding) =
                if spec.add { (f64::from(before[index]), bounds::ADDED) } else { (0.0, 0.0) };
            all.push(Near { index, value: there + value, bound: bound + rounding });
        }
        first += m.rows;
    }
    all
}

/// All rows, or the first, the last and random ones.
pub(super) fn sample(rows: usize, random: &mut Random) -> Vec<usize> {
    if rows <= SAMPLE {
        return (0..rows).collect();
    }
    [0, rows - 1].into_iter().chain((2..SAMPLE).map(|_| random.below(rows))).collect()
}

impl Prepared for MatVec<'_> {
    fn reset(&mut self, copy: usize) -> Result<(), DeviceError> {
        let (out, before) = (&mut self.copies[copy].out, &self.expected.before);
        if self.spec.add { self.device.write(out, 0, before) } else { self.device.poison(out, 0, before) }
    }

    fn launch(&self, copy: usize) -> Result<(), DeviceError> {
        let Copy { matrices, x, norm, out } = &self.copies[copy];
        let (x, out, add) = (x.as_ptr(), out.as_mut_ptr(), self.spec.add.into());
        let norm = if norm.is_empty() { DevicePtr::null() } else { norm.as_ptr() };
        let shared = activation::shared_bytes(self.spec.cols) as u32;
        let config = |blocks| LaunchConfig::new(blocks, project::THREADS);
        if self.spec.op == Op::GateUp {
            let [gate, up] = [&matrices[0], &matrices[1]];
            let blocks = mat_vec_blocks::<gate_up::gate_up::Args>(self.device, gate.rows(), shared)?;
            let (gate, up) = (gate.argument(0, blocks), up.argument(0, blocks));
            let args = gate_up::gate_up::Args { x, norm, eps: EPS, gate, up, out };
            // SAFETY: both matrices are of one quantised kind and as wide as `x` and `norm`, `out` has their rows.
            return unsafe { self.device.launch(config(blocks).shared_bytes(shared), args) };
        }
        let matrices: Vec<&DeviceMatrix> = matrices.iter().collect();
        let outputs = self.spec.outputs();
        if self.spec.op == Op::ProjectF32 {
            let blocks = mat_vec_blocks::<project_f32::project_f32::Args>(self.device, outputs, 0)?;
            let ([m0, m1, m2], blocks) = share(&matrices, blocks);
            let args = project_f32::project_f32::Args { x, m0, m1, m2, out, add };
            // SAFETY: the matrices are as wide as `x`, `out` has their rows.
            return unsafe { self.device.launch(config(blocks), args) };
        }
        let groups = outputs.div_ceil(project::ROWS);
        let blocks = mat_vec_blocks::<project::project::Args>(self.device, groups, shared)?;
        let ([m0, m1, m2], blocks) = share(&matrices, blocks);
        let args = project::project::Args { x, norm, eps: EPS, m0, m1, m2, out, add };
        // SAFETY: the matrices are quantised and as wide as `x` and `norm`, `out` has their rows.
        unsafe { self.device.launch(config(blocks).shared_bytes(shared), args) }
    }

    fn outputs(&self, copy: usize) -> Result<Outputs, DeviceError> {
        Ok(Outputs { floats: self.device.download(&self.copies[copy].out)?, words: Vec::new() })
    }

    fn expected(&self, _: usize, _: &Outputs) -> Cow<'_, Expected> {
        Cow::Borrowed(&self.expected)
    }
}
