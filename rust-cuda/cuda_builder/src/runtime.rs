//! Functions that LLVM calls and that no crate defines for a GPU.
//!
//! A crate that did would put them into every program. Here they take the place of their declaration, which LLVM writes
//! where there is a call.

/// What a declaration begins with, up to the name.
const DECLARATION: &str = ".extern .func  (.param .b32 func_retval0) memcmp\n";

/// Compares bytes: `core` compares slices of bytes with it. (Copies and fills are instructions.)
const MEMCMP: &str = "\
.func  (.param .b32 func_retval0) memcmp
(
\t.param .b64 memcmp_param_0,
\t.param .b64 memcmp_param_1,
\t.param .b64 memcmp_param_2
)
{
\t.reg .pred \t%p<3>;
\t.reg .b32 \t%r<4>;
\t.reg .b64 \t%rd<4>;
\tld.param.b64 \t%rd1, [memcmp_param_0];
\tld.param.b64 \t%rd2, [memcmp_param_1];
\tld.param.b64 \t%rd3, [memcmp_param_2];
\tmov.b32 \t%r3, 0;
$memcmp_next:
\tsetp.eq.s64 \t%p1, %rd3, 0;
\t@%p1 bra \t$memcmp_done;
\tld.u8 \t%r1, [%rd1];
\tld.u8 \t%r2, [%rd2];
\tsub.s32 \t%r3, %r1, %r2;
\tsetp.ne.s32 \t%p2, %r3, 0;
\t@%p2 bra \t$memcmp_done;
\tadd.s64 \t%rd1, %rd1, 1;
\tadd.s64 \t%rd2, %rd2, 1;
\tadd.s64 \t%rd3, %rd3, -1;
\tbra \t$memcmp_next;
$memcmp_done:
\tst.param.b32 \t[func_retval0], %r3;
\tret;
}
";

/// The text with the definition of what it declares.
pub(crate) fn define(ptx: String) -> String {
    let Some(start) = ptx.find(DECLARATION) else { return ptx };
    let Some(len) = ptx[start..].find(";\n") else { return ptx };
    [&ptx[..start], MEMCMP, &ptx[start + len + 2..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_becomes_a_definition() {
        let declared = ".version 7.0\n.extern .func  (.param .b32 func_retval0) memcmp\n(\n\t.param .b64 a\n)\n;\n.entry k() { ret; }\n";
        let defined = define(declared.to_owned());
        assert_eq!(defined, format!(".version 7.0\n{MEMCMP}.entry k() {{ ret; }}\n"));
        assert_eq!(define(defined.clone()), defined);
    }
}
