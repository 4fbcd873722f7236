//! The report of a trained model against what the Python `gguf` package counts in it.

use super::{TRAINED, trained};
use psionic::model::describe;
use serde_json::json;

#[test]
fn a_report_counts_what_is_in_the_file() {
    let file = trained(TRAINED[0]);
    let report = serde_json::to_value(describe(&file).unwrap()).unwrap();
    let counts: Vec<_> = report["formats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|format| json!([format["kind"], format["tensors"], format["weights"], format["bytes"]]))
        .collect();
    assert_eq!(
        json!(counts),
        json!([
            ["Q4_K", 24, 3_407_872, 1_916_928],
            ["Q6_K", 5, 1_572_864, 1_290_240],
            ["F32", 17, 3_328, 13_312]
        ])
    );
    let shares: f64 =
        report["formats"].as_array().unwrap().iter().map(|format| format["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-12);
    assert_eq!(report["config"]["kv_heads"], 2);
    assert_eq!(report["file_bytes"], 3_348_384);
    assert_eq!(report["tensors"].as_array().unwrap().len(), 46);
    let last = file.tensor("blk.3.ffn_down.weight").unwrap();
    let listed =
        report["tensors"].as_array().unwrap().iter().find(|tensor| tensor["name"] == last.name()).unwrap();
    let expected = json!({
        "name": "blk.3.ffn_down.weight", "kind": "Q6_K", "dimensions": [768, 256], "offset": last.range().start,
        "bytes": 161_280,
    });
    assert_eq!(listed, &expected);
}
