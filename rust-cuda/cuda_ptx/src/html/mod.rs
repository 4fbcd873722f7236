//! A page that shows the source beside PTX and machine code, as one self-contained file.
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{FunctionAnalysis, Module, figures, lint::Finding, occupancy::Occupancy, tool::Resources};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a page shows.
#[derive(Debug)]
pub struct Page<'p> {
    /// What the text is: a file, the built-in kernels.
    pub title: &'p str,
    /// The text.
    pub text: &'p str,
    /// It, read.
    pub module: &'p Module<'p>,
    /// The functions to show.
    pub functions: &'p [FunctionAnalysis],
    /// What the assembler says of them.
    pub resources: &'p BTreeMap<String, Resources>,
    /// How many of them a multiprocessor holds.
    pub occupancy: &'p BTreeMap<String, Occupancy>,
    /// Their machine code.
    pub sass: &'p [crate::tool::SassFunction],
    /// What was found.
    pub findings: &'p [Finding],
    /// The source files that are there, by the name that the PTX has for them.
    pub sources: &'p BTreeMap<String, String>,
    /// What is missing, and how it is got.
    pub notes: &'p [String],
}

#[derive(Serialize)]
struct Data<'p> {
    title: &'p str,
    target: String,
    version: String,
    notes: &'p [String],
    files: BTreeMap<u32, File<'p>>,
    functions: Vec<FunctionData<'p>>,
}

#[derive(Serialize)]
struct File<'p> {
    name: &'p str,
    /// Its lines, if it is there.
    text: Option<Vec<&'p str>>,
}

#[derive(Serialize)]
struct FunctionData<'p> {
    name: &'p str,
    entry: bool,
    figures: Vec<(&'static str, u64)>,
    occupancy: Option<&'p Occupancy>,
    findings: Vec<&'p Finding>,
    /// The line of the first line of the text that is shown.
    first: u32,
    ptx: Vec<&'p str>,
    /// For each of them the places it comes from, `[file, line]`, the innermost first.
    places: Vec<Vec<(u32, u32)>>,
    sass: Vec<(String, Option<u32>)>,
}

impl Page<'_> {
    /// The page as HTML.
    pub fn html(&self) -> String {
        let data = self.data();
        // Data holds nothing that JSON lacks, so this does not fail; an empty page would tell if it did.
        let json = serde_json::to_string(&data).unwrap_or_default();
        // Nothing in a script may look like its end.
        let json = json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
             <body>\n<noscript>This page needs JavaScript, and nothing else.</noscript>\n\
             <script id=\"data\" type=\"application/json\">{json}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            escaped(self.title)
        )
    }

    fn data(&self) -> Data<'_> {
        let lines: Vec<&str> = self.text.lines().collect();
        let functions: Vec<FunctionData<'_>> =
            self.functions.iter().map(|function| self.function(function, &lines)).collect();
        let shown: BTreeSet<u32> =
            functions.iter().flat_map(|function| &function.places).flatten().map(|(file, _)| *file).collect();
        let files = self.module.files.iter().filter(|(number, _)| shown.contains(number));
        let files = files.map(|(&number, &name)| {
            let text = self.sources.get(name).map(|text| text.lines().collect());
            (number, File { name, text })
        });
        Data {
            title: self.title,
            target: self.module.targets.join(", "),
            version: format!("{}.{}", self.module.version.0, self.module.version.1),
            notes: self.notes,
            files: files.collect(),
            functions,
        }
    }

    fn function<'p>(&'p self, function: &'p FunctionAnalysis, lines: &[&'p str]) -> FunctionData<'p> {
        let mut places: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        let body = self.module.functions.iter().filter(|found| found.name == function.name);
        for instruction in body.filter_map(|found| found.body.as_ref()).flat_map(|body| body.instructions()) {
            let place =
                instruction.place.and_then(|place| self.module.places.get(usize::try_from(place).ok()?));
            if let Some(place) = place {
                let lined = place.0.iter().filter(|location| location.line > 0);
                places
                    .insert(instruction.line, lined.map(|location| (location.file, location.line)).collect());
            }
        }
        let (first, last) = function.lines;
        let numbered: Vec<(u32, &str)> = (first..=last)
            .filter_map(|line| Some((line, *lines.get(usize::try_from(line).ok()?.checked_sub(1)?)?)))
            .collect();
        let resources = self.resources.get(&function.name);
        let sass = self.sass.iter().find(|found| found.name == function.name);
        FunctionData {
            name: &function.name,
            entry: function.entry,
            figures: figures(function, resources)
                .into_iter()
                .filter_map(|figure| Some((figure.name, figure.value?)))
                .collect(),
            occupancy: self.occupancy.get(&function.name),
            findings: self.findings.iter().filter(|finding| finding.function == function.name).collect(),
            first,
            places: numbered.iter().map(|(line, _)| places.remove(line).unwrap_or_default()).collect(),
            ptx: numbered.into_iter().map(|(_, text)| text).collect(),
            sass: sass.map_or_else(Vec::new, |sass| {
                sass.lines
                    .iter()
                    .map(|line| {
                        let address =
                            line.address.map_or_else(String::new, |address| format!("{address:04x}  "));
                        (format!("{address}{}", line.text), line.ptx_line)
                    })
                    .collect()
            }),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_text_ends_the_script() {
        let text = ".version 8.0\n.target sm_90\n.visible .entry k()\n{\n\t// </script><b>\n\tret;\n}\n";
        let module = crate::parse(text).unwrap();
        let functions = crate::analyse(&module);
        let page = Page {
            title: "<k>",
            text,
            module: &module,
            functions: &functions,
            resources: &BTreeMap::new(),
            occupancy: &BTreeMap::new(),
            sass: &[],
            findings: &[],
            sources: &BTreeMap::new(),
            notes: &[],
        };
        let html = page.html();
        assert_eq!(html.matches("</script>").count(), 2);
        assert!(html.contains("<title>&lt;k&gt;</title>") && html.contains("\\u003c/script>\\u003cb>"));
        assert!(!html.contains("http://") && !html.contains("https://"));
    }
}
