// The page of `transfer serve`. All that comes from a file, a class or a run is put in as text, never as markup.

const SHOWN = 5; // classes before the rest is folded away
const STRONG = 0.4; // of the largest: a word that adds, or takes, this much is coloured
const LISTED = 8;
const WAYS = { gradcam: "Grad-CAM", rollout: "attention roll-out", occlusion: "occlusion", gradients: "gradients" };
const at = (id) => document.getElementById(id);
let about = {};
let asking = null; // the request under way; a newer one ends it
let preview = ""; // address of the picture shown, to be given back

function make(name, text = "", kind = "", ...children) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

const percent = (share, places = 0) => (share === null ? "–" : `${(100 * share).toFixed(places)} %`);

// what is asked

function ready() {
  at("title").textContent = `${about.strategy}, ${about.data}`;
  document.title = `${about.strategy}, ${about.data}: run ${about.id}`;
  at("about").textContent = [`run ${about.id}`, about.model, about.result].filter(Boolean).join(" · ");
  at("text").maxLength = about.most_characters;
  at("hint").textContent += `, at most ${about.most_bytes / 1e6} MB. Nothing is kept.`;
  const form = at(about.reads);
  if (form) form.hidden = false;
  else fail(`There is no form for ${about.reads} here; send a row to /predict.`);
}

function takePicture(files) {
  if (!files.length) return fail("This was no file. A picture of another page has to be saved first.");
  const file = files[0];
  if (file.size > about.most_bytes) return fail(`${file.name} is larger than ${about.most_bytes / 1e6} MB.`);
  if (!file.size) return fail(`${file.name} is empty.`);
  const more = files.length > 1 ? " (one picture at a time: the first)" : "";
  ask(file, "application/octet-stream", `${file.name}${more}`, (answer) => pictureShown(file, answer));
}

function takeText() {
  const text = at("text").value;
  if (!text.trim()) return fail("The text is empty.");
  ask(JSON.stringify({ text }), "application/json", "the text", (answer) => textShown(text, answer));
}

function takeNumbers() {
  const words = at("numbers").value.split(/[\s,;]+/).filter(Boolean);
  const wrong = words.find((word) => !Number.isFinite(Number(word)));
  if (!words.length || wrong) return fail(wrong ? `${wrong} is no number.` : "There are no numbers.");
  ask(JSON.stringify({ vector: words.map(Number) }), "application/json", "the numbers", () => []);
}

async function ask(body, type, name, shown) {
  asking?.abort();
  const own = (asking = new AbortController());
  at("error").textContent = "";
  at("state").textContent = `Looking at ${name} …`;
  at("result").classList.add("old");
  try {
    const path = about.explains ? "/explain" : "/predict";
    const reply = await fetch(path, { method: "POST", body, headers: { "Content-Type": type }, signal: own.signal });
    const answer = await reply.json().catch(() => ({ error: `the server answered ${reply.status}` }));
    if (own !== asking) return;
    if (!reply.ok) return fail(`${name}: ${answer.error}`);
    at("state").replaceChildren(`${name}: `, make("b", summary(answer)));
    at("result").replaceChildren(...(answer.probabilities ? chancesShown(answer) : valuesShown(answer)), ...shown(answer));
    at("result").classList.remove("old");
    at("result").hidden = false;
  } catch (error) {
    if (own === asking) fail("The server does not answer. Is `transfer serve` still running?");
  }
}

function fail(text) {
  asking?.abort();
  asking = null;
  at("state").textContent = "";
  at("error").textContent = text;
  at("result").hidden = true;
}

// what is shown

// In a few words: the class with its probability, else the values that are not empty.
function summary(answer) {
  if (answer.probabilities) return `${answer.class}, ${percent(answer.probabilities[answer.class])}`;
  const [name, value] = Object.entries(answer)[0] ?? ["", ""];
  return `${name} ${plain(value) || "none"}`;
}

const plain = (value) => (typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 4 }) : value ?? "");

// Labels, numbers or entities: probabilities as bars, every other value as text.
function valuesShown(answer) {
  const values = Object.entries(answer).filter(([name]) => !name.startsWith("p_") && name !== "likely");
  const chances = Object.entries(answer).filter(([name]) => name.startsWith("p_")).map(([name, value]) => [name.slice(2), value]);
  const list = make("dl", "", "values");
  for (const [name, value] of values) list.append(make("dt", name), make("dd", `${plain(value)}`));
  return [list, ...(chances.length ? [bars(chances.sort((a, b) => b[1] - a[1]))] : [])];
}

function chancesShown(answer) {
  const all = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
  const parts = [bars(all.slice(0, SHOWN))];
  if (all.length > SHOWN) {
    parts.push(make("details", "", "", make("summary", `all ${all.length} classes`), bars(all.slice(SHOWN))));
  }
  if (!about.explains) parts.push(make("p", `No reasons: ${about.why_not}.`, "soft"));
  return parts;
}

function bars(chances) {
  const list = make("dl", "", "chances");
  for (const [name, chance] of chances) {
    const bar = make("i");
    bar.style.width = `${100 * (chance ?? 0)}%`;
    list.append(make("dt", name), make("dd", "", "bar", bar), make("dd", percent(chance, 1)));
    bar.parentElement.setAttribute("aria-hidden", "true");
  }
  return list;
}

function tested(reason) {
  const rest = `without a random 20 % to ${percent(reason.without_random)}`;
  if (reason.without === null) return "There are too few words to leave some out.";
  return `Without the marked 20 % its probability goes from ${percent(reason.probability)} to ` +
    `${percent(reason.without)}, ${rest}.`;
}

function pictureShown(file, answer) {
  URL.revokeObjectURL(preview);
  preview = URL.createObjectURL(file);
  const figures = [figure(preview, `the picture ${file.name}`, make("b", "as it was sent"), "; the net sees its middle")];
  for (const reason of answer.reasons ?? []) {
    const head = make("b", `${reason.class}, ${percent(reason.probability)}`);
    const drawn = `what counts for ${reason.class} in the picture, the strongest fifth outlined`;
    figures.push(figure(reason.drawing, drawn, head, ` by ${WAYS[reason.by]}. ${tested(reason)}`));
  }
  const legend = make("p", "", "soft", "counts little", make("span", "", "heat"), "much; outlined: the strongest 20 %");
  return [make("div", "", "figures", ...figures), ...(answer.reasons ? [legend] : [])];
}

function figure(source, told, ...caption) {
  const image = make("img");
  image.src = source;
  image.alt = told;
  return make("figure", "", "", image, make("figcaption", "", "", ...caption));
}

function textShown(text, answer) {
  const parts = [];
  for (const reason of answer.reasons ?? []) {
    const read = reason.pieces.map(([piece]) => piece).join("");
    const words = make("p", "", "words card", ...reason.pieces.map(marked(reason.pieces)));
    const rest = text.slice(read.length);
    if (rest.trim()) words.append(make("span", rest, "unread"));
    const head = make("b", `${reason.class}, ${percent(reason.probability)}`);
    parts.push(make("div", "", "reason", head, words, make("p", tested(reason), "soft"), strongest(reason.pieces)));
    if (rest.trim()) parts.push(make("p", "Struck out: the net reads no further.", "soft"));
  }
  if (parts.length) {
    const [adds, takes] = [make("span", "speaks for the class", "for"), make("span", "speaks against it", "against")];
    parts.push(make("p", "", "soft legend", adds, " ", takes));
  }
  return parts;
}

function marked(pieces) {
  const most = Math.max(...pieces.map(([, value]) => Math.abs(value ?? 0))) || 1;
  return ([piece, value]) => {
    const share = Math.abs(value ?? 0) / most;
    const span = make("span", piece, share < STRONG ? "" : value > 0 ? "for" : "against");
    span.style.setProperty("--much", (0.35 * share).toFixed(2));
    return span;
  };
}

function strongest(pieces) {
  const ordered = pieces.filter(([piece]) => piece.trim()).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const told = ordered.slice(0, LISTED).map(([piece, value]) => `${piece.trim()} ${value > 0 ? "+" : ""}${(value ?? 0).toFixed(2)}`);
  return make("details", "", "", make("summary", "the strongest in numbers"), make("p", told.join("   "), "soft words"));
}

// what the user does

at("file").addEventListener("click", () => (at("file").value = "")); // the same file again is a question, too
at("file").addEventListener("change", () => at("file").files.length && takePicture(at("file").files));
for (const [form, take] of [["texts", takeText], ["vectors", takeNumbers], ["pictures", () => {}]]) {
  at(form).addEventListener("submit", (event) => (event.preventDefault(), take()));
  at(form).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) take();
  });
}
document.addEventListener("paste", (event) => {
  if (about.reads === "pictures" && event.clipboardData.files.length) takePicture(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault(); // or the browser would leave this page for the file
  at("pictures").classList.add("over");
});
document.addEventListener("dragleave", (event) => event.relatedTarget || at("pictures").classList.remove("over"));
document.addEventListener("drop", (event) => {
  if (about.reads !== "pictures") return;
  event.preventDefault();
  at("pictures").classList.remove("over");
  takePicture(event.dataTransfer.files);
});

try {
  about = await (await fetch("/about")).json();
  ready();
} catch {
  fail("The server does not answer. Is `transfer serve` still running?");
}
