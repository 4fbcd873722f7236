//! Qwen3's forward pass in plain float64, sharing nothing with the kernels.

use half::f16;
use psionic::kernel::{to_f64, weights};
use psionic::model::{Config, Layer, Matrix, Model};

/// How keys and values are stored.
pub type Store = fn(f64) -> f64;

/// In half precision, as the decoder's cache is by design.
pub const HALF: Store = |v| f16::from_f64(v).to_f64();

/// As they are, as in the golden values.
pub const EXACT: Store = |v| v;

/// The logits after each of the tokens.
pub fn forward(model: &Model<'_>, tokens: &[u32], store: Store) -> Vec<Vec<f64>> {
    let config = &model.config;
    let eps = f64::from(config.rms_eps);
    let embedding = to_f64(&weights(&model.embedding));
    let (output, output_norm) = (Dense::new(&model.output), to_f64(&model.output_norm));
    let layers: Vec<_> = model.layers.iter().map(DenseLayer::new).collect();
    let mut caches = vec![Cache::default(); layers.len()];
    let after = tokens.iter().enumerate().map(|(position, token)| {
        let mut x = embedding[*token as usize * config.hidden..][..config.hidden].to_vec();
        for (layer, cache) in layers.iter().zip(&mut caches) {
            layer.apply(config, position, store, cache, &mut x);
        }
        output.times(&normalised(&x, &output_norm, eps))
    });
    after.collect()
}

/// Keys and values of the positions so far, each `kv_heads * head_dim` long.
#[derive(Clone, Default)]
struct Cache {
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

struct Dense {
    weights: Vec<f64>,
    cols: usize,
}

impl Dense {
    fn new(m: &Matrix<'_>) -> Self {
        Self { weights: to_f64(&weights(m)), cols: m.cols }
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        assert_eq!(x.len(), self.cols);
        self.weights.chunks(self.cols).map(|row| dot(row, x)).collect()
    }
}

struct DenseLayer {
    attn_norm: Vec<f64>,
    q: Dense,
    k: Dense,
    v: Dense,
    q_norm: Vec<f64>,
    k_norm: Vec<f64>,
    o: Dense,
    ffn_norm: Vec<f64>,
    gate: Dense,
    up: Dense,
    down: Dense,
}

impl DenseLayer {
    fn new(layer: &Layer<'_>) -> Self {
        Self {
            attn_norm: to_f64(&layer.attn_norm),
            q: Dense::new(&layer.q),
            k: Dense::new(&layer.k),
            v: Dense::new(&layer.v),
            q_norm: to_f64(&layer.q_norm),
            k_norm: to_f64(&layer.k_norm),
            o: Dense::new(&layer.o),
            ffn_norm: to_f64(&layer.ffn_norm),
            gate: Dense::new(&layer.gate),
            up: Dense::new(&layer.up),
            down: Dense::new(&layer.down),
        }
    }

    fn apply(&self, config: &Config, position: usize, store: Store, cache: &mut Cache, x: &mut [f64]) {
        let eps = f64::from(config.rms_eps);
        let input = normalised(x, &self.attn_norm, eps);
        let (d, theta) = (config.head_dim, f64::from(config.rope_theta));
        let heads = |vector: Vec<f64>, norm: &[f64]| -> Vec<f64> {
            vector.chunks(d).flat_map(|head| turned(&normalised(head, norm, eps), theta, position)).collect()
        };
        let queries = heads(self.q.times(&input), &self.q_norm);
        let stored = |v: Vec<f64>| v.into_iter().map(store).collect();
        cache.keys.push(stored(heads(self.k.times(&input), &self.k_norm)));
        cache.values.push(stored(self.v.times(&input)));
        let mut attended = Vec::new();
        for (head, query) in queries.chunks(d).enumerate() {
            let kv = head / (config.heads / config.kv_heads) * d..;
            let score = |key: &Vec<f64>| (dot(query, &key[kv.clone()][..d]) / (d as f64).sqrt()).exp();
            let scores: Vec<f64> = cache.keys.iter().map(score).collect();
            let total: f64 = scores.iter().sum();
            attended.extend((0..d).map(|i| {
                let values = cache.values.iter().map(|value| value[kv.start + i]);
                scores.iter().zip(values).map(|(score, value)| score / total * value).sum::<f64>()
            }));
        }
        add(x, &self.o.times(&attended));
        let input = normalised(x, &self.ffn_norm, eps);
        let gate = self.gate.times(&input).into_iter().map(|g| g / (1.0 + (-g).exp()));
        let inner: Vec<f64> = gate.zip(self.up.times(&input)).map(|(g, u)| g * u).collect();
        add(x, &self.down.times(&inner));
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// RMSNorm.
fn normalised(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    let factor = (dot(x, x) / x.len() as f64 + eps).sqrt().recip();
    x.iter().zip(weight).map(|(x, w)| x * factor * w).collect()
}

/// Rotary embedding: the pair (`i`, `i + d/2`) as a complex number, turned by `position / theta^(2 i / d)`.
fn turned(head: &[f64], theta: f64, position: usize) -> Vec<f64> {
    let (first, second) = head.split_at(head.len() / 2);
    let angle = |i: usize| position as f64 / theta.powf(2.0 * i as f64 / head.len() as f64);
    let pairs = || first.iter().zip(second).enumerate();
    let real = pairs().map(|(i, (a, b))| a * angle(i).cos() - b * angle(i).sin());
    let imaginary = pairs().map(|(i, (a, b))| a * angle(i).sin() + b * angle(i).cos());
    real.chain(imaginary).collect()
}
