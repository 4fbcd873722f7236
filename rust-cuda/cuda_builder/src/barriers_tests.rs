use super::*;

/// A module with one entry `k` of these blocks. Location 10 is a barrier function that was inlined to line 7 of the kernel,
/// 20 another at the same place that was inlined once more, 30 one at line 8, 40 one at line 7 of another block.
fn module(blocks: &str) -> String {
    format!(
        r#"
; Function Attrs: convergent
define ptx_kernel void @k(ptr noundef captures(none) %x, i32 noundef %n) unnamed_addr #0 !dbg !1 {{
{blocks}
}}

declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32) #1

!1 = distinct !DISubprogram(name: "k", scope: !5, file: !2, line: 3, unit: !4)
!2 = !DIFile(filename: "src/k.rs", directory: "/home/a, b")
!3 = distinct !DISubprogram(name: "sync, (a)", scope: !5, file: !6, line: 9, unit: !4)
!6 = !DIFile(filename: "std/sync.rs", directory: "")
!10 = !DILocation(line: 9, column: 5, scope: !3, inlinedAt: !11)
!11 = !DILocation(line: 7, column: 9, scope: !12)
!12 = distinct !DILexicalBlock(scope: !1, file: !2, line: 4, column: 1)
!20 = !DILocation(line: 9, column: 5, scope: !3, inlinedAt: !21)
!13 = !DILexicalBlockFile(scope: !12, file: !2, discriminator: 2)
!21 = distinct !DILocation(line: 7, column: 9, scope: !13)
!30 = !DILocation(line: 9, column: 5, scope: !3, inlinedAt: !31)
!31 = !DILocation(line: 8, column: 9, scope: !1)
!40 = !DILocation(line: 9, column: 5, scope: !3, inlinedAt: !41)
!41 = !DILocation(line: 7, column: 9, scope: !1)
"#
    )
}

const ARMS: &str = r#"start:
  %c = icmp ult i32 %t, %n, !dbg !11
  br i1 %c, label %then, label %else, !dbg !11

then:                                             ; preds = %start
  BARRIER, !dbg !10
  br label %end

else:                                             ; preds = %start
  BARRIER, !dbg !20
  br label %end

end:                                              ; preds = %else, %then
  ret void, !dbg !11"#;

const ASM: &str = r#"tail call void asm sideeffect alignstack "bar.sync 0;", "~{memory}"() #3"#;
const INTRINSIC: &str = "tail call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)";

fn ptx(barriers: usize) -> String {
    format!(
        ".version 7.0\n.target sm_80\n.visible .entry k(\n\t.param .u64 k_param_0\n)\n{{\n{}\tret;\n}}\n",
        "\tbar.sync \t0;\n".repeat(barriers)
    )
}

/// The check of two texts.
fn check(ir: &str, ptx: &str, allowed: &[String]) -> Result<(), BarrierError> {
    super::check(ir, &cuda_ptx::parse(ptx).unwrap(), allowed)
}

fn run(blocks: &str, barriers: usize) -> Result<(), BarrierError> {
    check(&module(blocks), &ptx(barriers), &[])
}

#[test]
fn copies_in_both_arms_are_refused_with_their_place() {
    for barrier in [ASM, INTRINSIC] {
        let error = run(&ARMS.replace("BARRIER", barrier), 2).unwrap_err();
        let BarrierError::Duplicated { function, location, copies, .. } = &error else { panic!("{error}") };
        assert_eq!((function.as_str(), *copies), ("k", 2));
        assert_eq!(location, "src/k.rs:7:9, in std/sync.rs:9:5");
    }
}

#[test]
fn two_barriers_of_the_source_in_two_arms_are_not_copies() {
    run(&ARMS.replace("BARRIER", ASM).replace("!20", "!30"), 2).unwrap();
    run(&ARMS.replace("BARRIER", ASM).replace("!20", "!40"), 2).unwrap();
}

#[test]
fn copies_can_be_allowed_by_the_functions_name() {
    let ir = module(&ARMS.replace("BARRIER", ASM));
    check(&ir, &ptx(2), &["k".into()]).unwrap();
    check(&ir, &ptx(2), &["other".into()]).unwrap_err();
}

#[test]
fn copies_one_after_the_other_are_an_unrolled_loop() {
    let blocks = format!(
        "  {INTRINSIC}, !dbg !10\n  {INTRINSIC}, !dbg !10\n  br label %b\n\nb:\n  {INTRINSIC}, !dbg !10\n  ret void"
    );
    run(&blocks, 3).unwrap();
}

#[test]
fn an_unrolled_loop_may_be_left_early() {
    let blocks = r#"start:
  BARRIER, !dbg !10
  br i1 %a, label %two, label %end

two:
  BARRIER, !dbg !10
  br i1 %b, label %start, label %end

end:
  ret void"#;
    run(&blocks.replace("BARRIER", INTRINSIC), 2).unwrap();
}

#[test]
fn a_loop_with_a_remainder_loop_is_refused() {
    let blocks = r#"start:
  switch i32 %n, label %main [
    i32 0, label %end
    i32 1, label %"rest.loop"
  ]

main:
  BARRIER, !dbg !10
  br i1 %a, label %main, label %"rest.loop"

"rest.loop":
  BARRIER, !dbg !10
  br i1 %b, label %"rest.loop", label %end

end:
  ret void"#;
    run(&blocks.replace("BARRIER", ASM), 2).unwrap_err();
}

#[test]
fn barriers_are_found_in_the_middle_of_assembly() {
    let asm = r#"call void asm sideeffect "{\0A\09.reg .pred p;\0A\09@p barrier.cta.sync 1;\0A}", ""() #3"#;
    run(&ARMS.replace("BARRIER", asm), 2).unwrap_err();
    let comment = r#"call void asm sideeffect "// bar.sync 0;\0A\09mov.b32 a, b;", ""() #3"#;
    run(&ARMS.replace("BARRIER", comment), 0).unwrap();
}

#[test]
fn shuffles_count_as_collectives() {
    let shuffle = r#"%v = call i32 asm "shfl.sync.bfly.b32 $0, $1, 1, 31, -1;", "=r,r"(i32 %t) #4"#;
    let error = run(&ARMS.replace("BARRIER", shuffle), 0).unwrap_err();
    assert!(error.to_string().contains("`shfl.sync.bfly.b32`"), "{error}");
}

#[test]
fn calls_of_functions_with_barriers_count_too() {
    let ir = module(&ARMS.replace("BARRIER", "tail call fastcc void @inner(i32 1)"))
        + &format!(
            "define internal fastcc void @inner(i32 %a) #2 {{\n  {INTRINSIC}, !dbg !10\n  ret void\n}}\n"
        );
    let error = check(&ir, &ptx(0), &[]).unwrap_err();
    assert!(matches!(&error, BarrierError::Duplicated { operation, .. } if operation == "inner"), "{error}");
}

#[test]
fn barriers_that_code_generation_added_are_refused() {
    let blocks = format!("  {INTRINSIC}, !dbg !10\n  ret void");
    run(&blocks, 1).unwrap();
    run(&blocks, 0).unwrap();
    assert_eq!(
        run(&blocks, 2).unwrap_err(),
        BarrierError::Count { function: "k".into(), expected: 1, found: 2 }
    );
}

#[test]
fn barriers_in_a_function_that_the_module_lacks_are_refused() {
    let error = check(&module("  ret void"), &ptx(1).replace("entry k(", "entry other("), &[]).unwrap_err();
    assert_eq!(error, BarrierError::Count { function: "other".into(), expected: 0, found: 1 });
}
