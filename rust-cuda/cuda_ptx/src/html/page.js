"use strict";
// Three columns of one function. A line of PTX belongs to lines of the source, which the text tells, and to
// instructions, which the disassembler tells; the other two belong to each other through it.
const data = JSON.parse(document.getElementById("data").textContent);
const make = (tag, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};
const short = (name) => name.split("/").slice(-3).join("/");

const header = make("header", {}, make("b", { textContent: data.title }),
  make("span", { textContent: `${data.target}, PTX ${data.version}` }));
const choice = make("select", { ariaLabel: "Function" });
data.functions.forEach((f, i) => choice.append(make("option", { value: i, textContent: f.entry ? f.name : `${f.name} (device function)` })));
header.append(choice, ...data.notes.map((note) => make("span", { textContent: note })));
const figures = make("div", { className: "figures" });
const findings = make("div", { className: "findings" });
const main = make("main");
const column = (title) => {
  const code = make("div", { className: "code" });
  const heading = make("h2", {}, title);
  const section = make("section", {}, heading, code);
  return { code, heading, section };
};
const source = column("Source");
const ptx = column("PTX");
const sass = column("SASS");
const fileChoice = make("select", { ariaLabel: "File" });
source.heading.append(fileChoice);
// Lines that are no code are in the way mostly.
const all = make("input", { type: "checkbox" });
all.onchange = () => ptx.code.classList.toggle("brief", !all.checked);
ptx.code.classList.add("brief");
ptx.heading.append(make("label", {}, all, " lines that are no code"));
main.append(source.section, ptx.section, sass.section);
document.body.append(header, figures, findings, main);

let current, pinned = null;
let rows, byPlace, bySass;

const row = (number, text, quiet) => {
  const element = make("div", { className: quiet ? "row quiet" : "row" }, make("i", { textContent: number }), text || " ");
  return element;
};

// The rows of every column that belong to a set of lines of PTX.
const linked = (lines) => {
  const found = { source: new Set(), ptx: new Set(), sass: new Set() };
  for (const line of lines) {
    const at = line - current.first;
    if (rows.ptx[at]) found.ptx.add(rows.ptx[at]);
    for (const [file, number] of current.places[at] || []) {
      if (file === Number(fileChoice.value) && rows.source[number - 1]) found.source.add(rows.source[number - 1]);
    }
    for (const index of bySass.get(line) || []) found.sass.add(rows.sass[index]);
  }
  return found;
};

const mark = (className, lines) => {
  document.querySelectorAll(`.${className}`).forEach((element) => element.classList.remove(className));
  if (!lines) return null;
  const found = linked(lines);
  for (const set of Object.values(found)) set.forEach((element) => element.classList.add(className));
  return found;
};

const reveal = (set, except) => {
  const first = set.values().next().value;
  if (first && first !== except) first.scrollIntoView({ block: "center" });
};

const pin = (lines, element, file) => {
  pinned = lines;
  if (file !== undefined && Number(fileChoice.value) !== file && rows.files.has(file)) showFile(file);
  const found = mark("pin", lines);
  if (!found) return;
  for (const [name, set] of Object.entries(found)) {
    if (!element || !element.closest(".code").isSameNode({ source, ptx, sass }[name].code)) reveal(set, element);
  }
};

// The place that says most: the innermost in no library.
const telling = (places) => places.find(([file]) => {
  const name = data.files[file]?.name ?? "";
  return !/\/rustlib\/|\/rustc\/|\/registry\/src\/|\/cuda_std\//.test(name);
}) ?? places[0];

const listen = (element, lines, file) => {
  element.onmouseenter = () => mark("hot", lines());
  element.onmouseleave = () => mark("hot", null);
  element.onclick = () => pin(lines(), element, file?.());
};

const showFile = (file) => {
  fileChoice.value = file;
  const text = data.files[file]?.text;
  rows.source = [];
  source.code.replaceChildren();
  if (!text) {
    source.code.append(make("div", { className: "note", textContent: "  This file was not found when the report was made." }));
    return;
  }
  rows.source = text.map((line, i) => {
    const lines = byPlace.get(`${file}:${i + 1}`);
    const element = row(i + 1, line, false);
    if (lines) {
      element.classList.add("used");
      listen(element, () => lines);
    }
    return element;
  });
  source.code.append(...rows.source);
  if (pinned) mark("pin", pinned);
  const first = rows.source.find((element) => element.classList.contains("used"));
  if (first) first.scrollIntoView({ block: "center" });
};
fileChoice.onchange = () => showFile(Number(fileChoice.value));

const show = (index) => {
  current = data.functions[index];
  pinned = null;
  rows = { source: [], ptx: [], sass: [], files: new Map() };
  byPlace = new Map();
  bySass = new Map();
  current.places.forEach((places, i) => {
    for (const [file, line] of places) {
      const key = `${file}:${line}`;
      if (!byPlace.has(key)) byPlace.set(key, []);
      byPlace.get(key).push(current.first + i);
    }
    if (places.length) {
      const [file] = telling(places);
      rows.files.set(file, (rows.files.get(file) ?? 0) + 1);
    }
    for (const [file] of places) if (!rows.files.has(file)) rows.files.set(file, 0);
  });
  current.sass.forEach(([, line], i) => {
    if (line === null) return;
    if (!bySass.has(line)) bySass.set(line, []);
    bySass.get(line).push(i);
  });

  const found = new Map(current.findings.map((finding) => [finding.line, finding]));
  rows.ptx = current.ptx.map((text, i) => {
    const line = current.first + i;
    const element = row(line, text.replace(/\t/g, "    "), /^\s*($|\.loc|\.reg|\/\/|\$L__tmp|\$L__func)/.test(text));
    if (found.has(line)) {
      element.classList.add("found");
      element.title = `${found.get(line).lint}: ${found.get(line).message}`;
    }
    const file = () => current.places[i].length ? telling(current.places[i])[0] : undefined;
    listen(element, () => [line], file);
    return element;
  });
  ptx.code.replaceChildren(...rows.ptx);
  rows.sass = current.sass.map(([text, line]) => {
    const element = row("", text, line === null);
    const file = () => {
      const places = line === null ? [] : current.places[line - current.first] ?? [];
      return places.length ? telling(places)[0] : undefined;
    };
    if (line !== null) listen(element, () => [line], file);
    return element;
  });
  sass.code.replaceChildren(...rows.sass);
  sass.section.hidden = current.sass.length === 0;
  sass.section.style.display = current.sass.length === 0 ? "none" : "";
  main.className = current.sass.length === 0 ? "two" : "";

  const occupancy = current.occupancy;
  const shown = current.figures.filter(([, value]) => value > 0);
  figures.replaceChildren(
    ...shown.map(([name, value]) => make("span", {}, make("i", { textContent: `${name.replace(/_/g, " ")} ` }), String(value))));
  if (occupancy) {
    const text = `${Math.round(100 * occupancy.fraction)} % (${occupancy.blocks} blocks of ${occupancy.threads} threads, by ${occupancy.limit})`;
    figures.append(make("span", {}, make("i", { textContent: "occupancy " }), text));
  }
  findings.style.display = current.findings.length ? "" : "none";
  findings.replaceChildren(...current.findings.map((finding) => {
    const place = finding.source ? `  ${short(finding.source)}` : "";
    const element = make("div", {}, make("b", { textContent: finding.lint }), ` line ${finding.line}: ${finding.message}`,
      make("span", { className: "note", textContent: place }));
    element.onclick = () => {
      const places = current.places[finding.line - current.first] ?? [];
      pin([finding.line], null, places.length ? telling(places)[0] : undefined);
    };
    return element;
  }));

  const files = [...rows.files].sort((a, b) => b[1] - a[1]);
  fileChoice.replaceChildren(...files.map(([file, count]) =>
    make("option", { value: file, textContent: `${short(data.files[file]?.name ?? "?")}${count ? ` (${count})` : ""}` })));
  source.section.style.display = files.length ? "" : "none";
  if (files.length) showFile(files[0][0]);
  ptx.code.scrollTop = 0;
};
choice.onchange = () => show(Number(choice.value));
if (data.functions.length) show(0);
