use super::*;

const TWO_ENTRIES: &str = "\
.version 7.0
.target sm_80
// cuda_std: launch_bounds scale 256 2
// cuda_std: launch_bounds fill 1024 0

.extern .func  (.param .b32 func_retval0) vprintf
(
\t.param .b64 vprintf_param_0
)
;
.func helper(
\t.param .b32 helper_param_0
)
{
\tbar.sync \t1;
\tret;
}
.visible .entry scale(
\t.param .u64 scale_param_0,
\t.param .u32 scale_param_1
)
{
\t.reg .pred \t%p<3>;
\t.loc\t1 18 0
\t@%p1 bar.sync 0;
\t// begin inline asm
{ .reg .b32 a;
barrier.sync 0; }
\t// end inline asm
$L1: shfl.sync.bfly.b32 %r1, %r2, 1, 31, -1; // bar.sync
\tret;
}
.visible .entry fill()
{
\tret;
}
";

#[test]
fn launch_bounds_stand_between_the_parameters_and_the_body() {
    let bounded = apply_launch_bounds(TWO_ENTRIES).unwrap();
    assert!(bounded.contains("scale_param_1\n)\n.maxntid 256, 1, 1\n.minnctapersm 2\n{\n"), "{bounded}");
    assert!(bounded.contains(".entry fill()\n.maxntid 1024, 1, 1\n{\n"), "{bounded}");
    assert_eq!(bounded.matches("maxntid").count(), 2);
}

#[test]
fn ptx_without_markers_stays_as_it_is() {
    let plain = TWO_ENTRIES.replace("// cuda_std", "// other");
    assert_eq!(apply_launch_bounds(&plain).unwrap(), plain);
}

#[test]
fn instructions_give_way_to_those_that_they_stand_for() {
    let code = |names: [&str; 4]| names.map(|name| format!("\t{name} {{%r1, %r2}}, [%rd3];\n")).concat();
    let written = [
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
        "ldmatrix.sync.aligned.m8n8.x4.b16",
        "ldmatrix.sync.aligned.m8n8.x4.trans.b16",
    ];
    let meant = [
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16",
        "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16",
    ];
    assert_eq!(put_meant(&code(written)), code(meant));
    assert_eq!(put_meant(&code(meant)), code(meant));
    let inline = format!("\t// begin inline asm\n{}\t// end inline asm\n", code(written));
    assert_eq!(put_meant(&(inline.clone() + &code(written))), inline + &code(meant));
}

#[test]
fn wrong_launch_bounds_are_refused() {
    let with = |marker: &str| {
        apply_launch_bounds(&format!("// cuda_std: launch_bounds {marker}\n{TWO_ENTRIES}")).unwrap_err()
    };
    assert_eq!(with("missing 32 0"), PtxError::NoSuchEntry("missing".into()));
    assert_eq!(with("scale 128 2"), PtxError::TwoLaunchBounds("scale".into()));
    for bad in ["scale 0 1", "scale", "scale 32 1 1", "scale x 1", "scale 32 -1"] {
        assert!(matches!(with(bad), PtxError::BadLaunchBounds(_)), "{bad}");
    }
}

#[test]
fn unresolved_functions_are_named() {
    let check = |text: &str| check_externs(&cuda_ptx::parse(text).unwrap());
    check(TWO_ENTRIES).unwrap();
    let missing = format!(
        "{TWO_ENTRIES}.extern .func  (.param .b32 r) expf\n(\n)\n;\n.extern .func _ZN4core_fmt\n()\n;\n"
    );
    let error = check(&missing).unwrap_err();
    assert_eq!(error, PtxError::Unresolved(vec!["_ZN4core_fmt".into(), "expf".into()]));
    assert!(error.to_string().starts_with("the kernels call `_ZN4core_fmt`, `expf`, which"));
}

#[test]
fn operations_are_found_in_inline_assembly() {
    let text = "@%p1 bar.sync 0;\n{ .reg .b32 a;\nbarrier.sync 0; }\n$L1: shfl.sync.bfly.b32 %r1, %r2; // bar.sync\n\tret;";
    let found: Vec<&str> = operations(text).collect();
    assert_eq!(found, ["bar.sync", ".reg", "barrier.sync", "shfl.sync.bfly.b32", "ret"]);
}

#[test]
fn line_info_can_be_removed() {
    let text = "\t.file\t1 \"a.rs\"\n\t.loc\t1 2 3\n\tret;\n\t.section\t.debug_loc\n\t{\t}\n";
    assert_eq!(strip_line_info(text), "\tret;\n");
}
