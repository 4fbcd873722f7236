//! Tokenizers against the ids and texts that the original tokenizer gave.

use super::{TRAINED, trained};
use crate::fixture;
use crate::raw_gguf::{Raw, string};
use psionic::gguf::GgufFile;
use psionic::model::{Tokenizer, TokenizerError};
use serde_json::Value;

fn tokenizer() -> Tokenizer {
    Tokenizer::from_gguf(&trained(TRAINED[0])).unwrap()
}

fn golden(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture("models").join(format!("{name}.golden.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn golden_prompts_and_texts_are_reproduced() {
    for name in TRAINED {
        let tokenizer = Tokenizer::from_gguf(&trained(name)).unwrap();
        for case in golden(name)["cases"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let prompt = ids(&case["prompt_token_ids"]);
            assert_eq!(tokenizer.encode(text).unwrap(), prompt, "{text:?}");
            assert_eq!(tokenizer.decode(&prompt), text);
            let generated = ids(&case["greedy_token_ids"]);
            assert_eq!(tokenizer.decode(&generated), case["greedy_text"].as_str().unwrap());
        }
        let text = ids(&golden(name)["nll"]["token_ids"]);
        assert_eq!(tokenizer.encode(&tokenizer.decode(&text)).unwrap(), text);
    }
}

#[test]
fn special_tokens_are_known_and_matched_whole() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.eos(), Some(2));
    assert_eq!(tokenizer.bos(), None);
    assert_eq!(tokenizer.stop_tokens(), [0, 2]);
    assert_eq!(tokenizer.special_tokens(), [0, 1, 2]);
    assert_eq!(tokenizer.vocab_size(), 4096);
    assert_eq!(tokenizer.token_to_id("<|im_start|>"), Some(1));
    assert_eq!(tokenizer.encode("<|im_start|><|im_end|>").unwrap(), [1, 2]);
    let mixed = tokenizer.encode("a<|im_end|>b").unwrap();
    assert_eq!((mixed.len(), mixed[1]), (3, 2));
    assert!(tokenizer.chat_template().unwrap().contains("add_generation_prompt"));
}

#[test]
fn any_text_survives_encoding() {
    let tokenizer = tokenizer();
    let spaces = " ".repeat(5000);
    for text in ["", " ", "\u{0}", "\r\n\t ", "🦀🦀", "日本語とEnglish", "it's I'LL", "a\u{200d}b", &spaces]
    {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text, "{text:?}");
    }
    assert_eq!(
        tokenizer.encode("e\u{301}").unwrap(),
        tokenizer.encode("é").unwrap(),
        "texts are composed first"
    );
    assert_eq!(tokenizer.decode(&[u32::MAX]), "");
}

#[test]
fn a_stream_gives_whole_characters_and_in_the_end_all_of_the_text() {
    let tokenizer = tokenizer();
    let text = "é 你好 🦀 — done";
    let encoded = tokenizer.encode(text).unwrap();
    let mut stream = tokenizer.stream();
    let pieces: Vec<String> = encoded.iter().map(|&id| stream.push(id)).collect();
    assert_eq!(pieces.concat(), text);
    assert!(pieces.iter().any(String::is_empty), "a character of several tokens comes with its last");
    assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')));
    assert_eq!(stream.finish(), "");

    let mut stream = tokenizer.stream();
    let crab = tokenizer.encode("🦀").unwrap();
    assert_eq!(stream.push(crab[0]), "");
    assert_eq!(stream.finish(), "\u{FFFD}");
}

#[test]
fn a_stream_of_any_tokens_ends_as_the_text_decoded_at_once() {
    let tokenizer = tokenizer();
    let byte_tokens: Vec<u32> = (0..4096).filter(|&id| tokenizer.token_bytes(id).len() == 1).collect();
    assert!(byte_tokens.len() >= 256);
    let mut state = 1u32;
    for _ in 0..200 {
        let chosen: Vec<u32> = (0..40)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                byte_tokens[(state >> 8) as usize % byte_tokens.len()]
            })
            .collect();
        let mut stream = tokenizer.stream();
        let mut text: String = chosen.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        assert_eq!(text, tokenizer.decode(&chosen));
    }
}

fn array(items: &[String]) -> Vec<u8> {
    let mut bytes = [9u32.to_le_bytes(), 8u32.to_le_bytes()].concat();
    bytes.extend((items.len() as u64).to_le_bytes());
    items.iter().for_each(|item| bytes.extend(string(item)));
    bytes
}

/// The trained model's vocabulary, to be spoilt.
fn tokens() -> Vec<String> {
    trained(TRAINED[0]).metadata().strings("tokenizer.ggml.tokens").unwrap().unwrap().to_vec()
}

fn build(
    model: &str,
    pre: &str,
    tokens: &[String],
    merges: &[&str],
    extra: fn(Raw) -> Raw,
) -> Result<(), TokenizerError> {
    let merges: Vec<String> = merges.iter().map(|&merge| merge.to_owned()).collect();
    let raw = Raw::new()
        .string("tokenizer.ggml.model", model)
        .string("tokenizer.ggml.pre", pre)
        .pair("tokenizer.ggml.tokens", &array(tokens))
        .pair("tokenizer.ggml.merges", &array(&merges));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.gguf");
    std::fs::write(&path, extra(raw).bytes()).unwrap();
    Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).map(drop)
}

#[test]
fn a_tokenizer_that_is_not_qwen2s_or_does_not_fit_together_is_refused() {
    use TokenizerError as E;
    let (tokens, plain) = (tokens(), |raw: Raw| raw);
    assert!(build("gpt2", "qwen2", &tokens, &["Ġ t"], plain).is_ok());
    let kind = |model, pre| build(model, pre, &tokens, &[], plain).unwrap_err();
    assert!(matches!(kind("llama", "qwen2"), E::Kind { expected: "gpt2", .. }));
    assert!(matches!(kind("gpt2", "llama-bpe"), E::Kind { expected: "qwen2", .. }));

    let expect = |result: Result<(), E>, expected: &str| {
        let text = result.unwrap_err().to_string();
        assert!(text.starts_with(&format!("expected {expected}, found ")), "{text}");
    };
    let longest = tokens.iter().max_by_key(|token| token.len()).unwrap();
    let merged = format!("{longest} {longest}");
    for merge in ["Ġ", "", " ", "Ġ t t", "Ġ 未", "q zq", merged.as_str()] {
        expect(build("gpt2", "qwen2", &tokens, &[merge], plain), "merges of two tokens into a third");
    }
    let mut twice = tokens.clone();
    twice[500] = twice[501].clone();
    expect(build("gpt2", "qwen2", &twice, &[], plain), "each token once");
    expect(build("gpt2", "qwen2", &tokens[..100], &[], plain), "a token for each byte");
    let far = |raw: Raw| raw.u32("tokenizer.ggml.eos_token_id", 4096);
    expect(build("gpt2", "qwen2", &tokens, &[], far), "special token ids inside the vocabulary");
    let types =
        |raw: Raw| raw.pair("tokenizer.ggml.token_type", &[9u32, 5, 1, 0, 1].map(u32::to_le_bytes).concat());
    expect(build("gpt2", "qwen2", &tokens, &[], types), "a type for each token");
    let rows = |raw: Raw| raw.tensor("token_embd.weight", &[4, 8], 0, 0).data(128);
    expect(build("gpt2", "qwen2", &tokens, &[], rows), "an embedding for each token");
    let number = |raw: Raw| raw.u32("tokenizer.chat_template", 1);
    assert!(matches!(build("gpt2", "qwen2", &tokens, &[], number), Err(E::Metadata(_))));
}

#[test]
fn a_missing_part_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.gguf");
    std::fs::write(&path, Raw::new().string("tokenizer.ggml.model", "gpt2").bytes()).unwrap();
    let error = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap_err();
    assert!(matches!(error, TokenizerError::MissingKey { key: "tokenizer.ggml.pre" }), "{error:?}");
}
