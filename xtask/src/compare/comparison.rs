//! One comparison: its programs' turns on a model, their ids, their logits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use psionic_peer::{
    Chosen, Facts, Generation, Gpu, Programs, Row, Rows, Tally, Timed, Workload, divergence,
    first_difference, output, token_ids,
};

use super::record::{Divergence, GpuState, Greedy, ModelRecord, Numerics, Series, Settings, Source, Speed};
use crate::Failure;

/// What a comparison is made with.
pub struct Comparison {
    pub programs: Programs,
    /// None when both run on the CPU.
    pub gpu: Option<Gpu>,
    pub settings: Settings,
    /// Further environments of llama-bench.
    pub variants: Vec<Vec<String>>,
    /// For token ids and logits, which are large.
    pub files: tempfile::TempDir,
}

/// A program's turn.
struct Turn<'a> {
    series: Series,
    environment: &'a [String],
}

impl Comparison {
    /// Everything about a model.
    pub fn model(&self, model: &Path) -> Result<ModelRecord, Failure> {
        let file = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        say(&file, "what it is");
        let Facts { config, bytes_per_token } = self.programs.facts(model)?;
        let vocab = config.vocab.get();
        let Settings { tokens, ref depths, positions, .. } = self.settings;
        let needed =
            depths.iter().map(|depth| depth.saturating_add(1 + tokens)).max().unwrap_or(0).max(positions);
        if needed > config.context_length {
            return Err(Failure(format!(
                "expected {file} to have a context of at least {needed}, found {}; ask for less with -d, -n or --positions",
                config.context_length
            )));
        }
        let prompts: Vec<Prompt> =
            depths.iter().map(|depth| self.prompt(*depth, vocab)).collect::<Result<_, _>>()?;
        let (speed, chosen) = self.speed(model, &file, &prompts)?;
        say(&file, "greedy ids");
        let mut greedy = Vec::new();
        let mut last = None;
        for (prompt, chosen) in prompts.iter().zip(chosen) {
            self.idle()?;
            let generation = self.programs.generate(model, &prompt.ids, tokens)?;
            greedy.push(self.greedy(model, vocab, prompt, &generation, chosen)?);
            last = Some(generation);
        }
        let Some(generation) = last else {
            return Err(Failure("expected a depth, found none; give one with -d".into()));
        };
        say(&file, "logits");
        let numerics = self.numerics(model, vocab)?;
        let model_type = speed.iter().find_map(|speed| speed.program.get("model_type")?.as_str());
        Ok(ModelRecord {
            sha256: sha256(model),
            model_type: model_type.unwrap_or(&file).to_owned(),
            file,
            vocab,
            bytes_per_token,
            psionic_commit: generation.commit,
            device: generation.device,
            load_seconds: generation.timings.load_seconds,
            speed,
            greedy,
            numerics,
        })
    }

    /// Every turn of every program, and the ids that llama.cpp chose at each depth.
    fn speed(
        &self,
        model: &Path,
        file: &str,
        prompts: &[Prompt],
    ) -> Result<(Vec<Speed>, Vec<Chosen>), Failure> {
        let mut turns = vec![Turn { series: Series::Psionic, environment: &[] }];
        turns.push(Turn { series: Series::LlamaBench, environment: &[] });
        turns
            .extend(self.variants.iter().map(|environment| Turn { series: Series::LlamaBench, environment }));
        turns.extend(
            [Series::LlamaGreedyHost, Series::LlamaGreedyDevice]
                .map(|series| Turn { series, environment: &[] }),
        );
        let mut speed = Vec::new();
        let mut chosen = Vec::new();
        for turn in 1..=self.settings.turns {
            for which in &turns {
                say(file, &format!("turn {turn}: {} {}", which.series.title(), which.environment.join(" ")));
                let gpu = self.idle()?;
                let timed = self.timed(model, which, prompts, &mut chosen)?;
                speed.extend(timed.into_iter().map(|timed| entry(timed, which, turn, gpu.clone())));
            }
            // The other way round, so that who is first has no advantage.
            turns.reverse();
        }
        Ok((speed, chosen))
    }

    fn timed(
        &self,
        model: &Path,
        turn: &Turn<'_>,
        prompts: &[Prompt],
        chosen: &mut Vec<Chosen>,
    ) -> Result<Vec<Timed>, Failure> {
        let Settings { tokens, ref depths, repetitions, .. } = self.settings;
        let choose = match turn.series {
            Series::Psionic | Series::LlamaBench => {
                return self.programs.bench(
                    turn.series,
                    model,
                    turn.environment,
                    &Workload { tokens, depths, repetitions },
                );
            }
            Series::LlamaGreedyHost => "host",
            Series::LlamaGreedyDevice => "device",
        };
        let found: Vec<Chosen> = prompts
            .iter()
            .map(|prompt| {
                let asked = psionic_peer::Greedy { choose, count: tokens, repetitions, stop: None };
                self.programs.greedy(model, &prompt.file, &asked)
            })
            .collect::<Result<_, _>>()?;
        let timed = found.iter().zip(prompts).map(|(found, prompt)| found.timed(prompt.depth)).collect();
        if turn.series == Series::LlamaGreedyHost {
            *chosen = found;
        }
        Ok(timed)
    }

    /// Compares ids, and looks closer where they part.
    fn greedy(
        &self,
        model: &Path,
        vocab: usize,
        prompt: &Prompt,
        ours: &Generation,
        theirs: Chosen,
    ) -> Result<Greedy, Failure> {
        let (ours, count) = (&ours.generated_tokens, self.settings.tokens);
        if (ours.len(), theirs.ids.len()) != (count, count) {
            let (ours, theirs) = (ours.len(), theirs.ids.len());
            return Err(Failure(format!(
                "expected {count} ids of each, found {ours} of Psionic and {theirs} of llama.cpp"
            )));
        }
        if let Some(id) = ours.iter().chain(&theirs.ids).find(|id| **id as usize >= vocab) {
            return Err(Failure(format!(
                "expected ids below {vocab}, found {id}; the model's file is damaged"
            )));
        }
        let at = first_difference(ours, &theirs.ids);
        let divergence = at.map(|at| {
            let so_far = [&prompt.ids[..], &ours[..at]].concat();
            let ids = self.write_ids("so-far.json", &so_far)?;
            let [ours_row, theirs_row] =
                [Source::Psionic, Source::Llama].map(|source| -> Result<Row, Failure> {
                    let path = self.logits(source, model, &ids, true)?;
                    Rows::open(&path, 1, vocab)?.next()
                });
            Ok::<Divergence, Failure>(divergence((ours[at], &ours_row?), (theirs.ids[at], &theirs_row?)))
        });
        Ok(Greedy {
            n_depth: prompt.depth,
            same: at.unwrap_or(count),
            divergence: divergence.transpose()?,
            psionic_ids: ours.clone(),
            llama_ids: theirs.ids,
            llama_margins: theirs.margins,
        })
    }

    /// Gives both the same tokens, whatever they would choose.
    fn numerics(&self, model: &Path, vocab: usize) -> Result<Numerics, Failure> {
        self.idle()?;
        let positions = self.settings.positions;
        let token_ids = token_ids(self.settings.seed, positions, vocab);
        let ids = self.write_ids("forced.json", &token_ids)?;
        let open = |source| Rows::open(&self.logits(source, model, &ids, false)?, positions, vocab);
        let mut psionic = open(Source::Psionic)?;
        let mut float = open(Source::PsionicFloat)?;
        let mut llama = open(Source::Llama)?;
        let mut against_llama = Tally::new(Source::Llama, Source::Psionic);
        let mut psionic_exact = Tally::new(Source::PsionicFloat, Source::Psionic);
        let mut llama_exact = Tally::new(Source::PsionicFloat, Source::Llama);
        for _ in 0..positions {
            let (psionic, float, llama) = (psionic.next()?, float.next()?, llama.next()?);
            against_llama.add(&llama, &psionic);
            psionic_exact.add(&float, &psionic);
            llama_exact.add(&float, &llama);
        }
        let pairs = [against_llama, psionic_exact, llama_exact].map(Tally::finish).into();
        Ok(Numerics { token_ids, pairs })
    }

    /// A file with the logits after some ids. It stays until the next of the same source.
    fn logits(&self, source: Source, model: &Path, ids: &Path, last: bool) -> Result<PathBuf, Failure> {
        let path = self.files.path().join(format!("{source:?}.f32"));
        if path.exists() {
            fs::remove_file(&path)
                .map_err(|error| Failure(format!("{} cannot be removed: {error}", path.display())))?;
        }
        self.programs.logits(source, model, ids, last, &path)?;
        Ok(path)
    }

    fn prompt(&self, depth: usize, vocab: usize) -> Result<Prompt, Failure> {
        let ids = token_ids(self.settings.seed, depth + 1, vocab);
        let file = self.write_ids(&format!("prompt-{depth}.json"), &ids)?;
        Ok(Prompt { depth, ids, file })
    }

    fn write_ids(&self, name: &str, ids: &[u32]) -> Result<PathBuf, Failure> {
        let path = self.files.path().join(name);
        let written = serde_json::to_vec(ids).map_err(Into::into).and_then(|text| fs::write(&path, text));
        written.map_err(|error| Failure(format!("{} cannot be written: {error}", path.display())))?;
        Ok(path)
    }

    /// Waits for an idle GPU and returns its state; none when there is no GPU to wait for.
    pub fn idle(&self) -> Result<Option<GpuState>, Failure> {
        self.gpu.as_ref().map(Gpu::idle).transpose()
    }
}

/// What is generated from: a sequence of a depth and one token.
struct Prompt {
    depth: usize,
    ids: Vec<u32>,
    file: PathBuf,
}

/// A timed workload as the record has it.
fn entry(timed: Timed, turn: &Turn<'_>, number: usize, gpu: Option<GpuState>) -> Speed {
    let rate = |ns: &u64| timed.n_gen as f64 * 1e9 / (*ns).max(1) as f64;
    let samples_ts: Vec<f64> = timed.samples_ns.iter().map(rate).collect();
    let (avg_ts, stddev_ts) = mean_and_deviation(&samples_ts);
    Speed {
        series: turn.series,
        environment: turn.environment.to_vec(),
        turn: number,
        n_gen: timed.n_gen,
        n_depth: timed.n_depth,
        avg_ts,
        stddev_ts,
        samples_ts,
        samples_ns: timed.samples_ns,
        gpu,
        program: timed.rest,
    }
}

/// The arithmetic mean and the sample standard deviation, which is 0 of fewer than two values.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

/// The file's SHA-256 where the machine has a program for it.
fn sha256(path: &Path) -> Option<String> {
    let text = output(Command::new("sha256sum").arg("--").arg(path)).ok()?;
    // A name with a backslash in it is announced by one.
    Some(text.trim_start_matches('\\').split_whitespace().next()?.to_owned())
}

fn say(model: &str, what: &str) {
    eprintln!("{model}: {}", what.trim());
}
