"use strict";
const $ = id => document.getElementById(id);
let chosen = null, current = null, shown = null, jobs = [];

const ask = async (path, options = {}) => {
  const answer = await fetch(path, options), body = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
};
const make = (tag, properties = {}, ...inside) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
};

// The form
const choose = file => { chosen = file || null; $("start").disabled = !chosen; $("drop").querySelector("b").textContent = chosen ? chosen.name : "Drop a video or photo here"; };
$("file").addEventListener("change", () => choose($("file").files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) $("drop").addEventListener(kind, event => {
  event.preventDefault();
  $("drop").classList.toggle("over", kind === "dragover");
  if (kind === "drop") choose(event.dataTransfer.files[0]);
});
$("upload").addEventListener("submit", event => {
  event.preventDefault();
  if (!chosen) return;
  const form = new URLSearchParams({ name: chosen.name });
  for (const field of $("upload").elements) if (field.name) form.set(field.name, field.type === "checkbox" ? String(field.checked) : field.value);
  const sending = new XMLHttpRequest();
  const over = text => { $("sent").hidden = true; $("start").disabled = !chosen; $("trouble").textContent = text; };
  sending.upload.onprogress = told => { $("sent").value = told.total ? told.loaded / told.total : 0; };
  sending.onerror = () => over("The upload broke off; is hmpfit app still running?");
  sending.onload = () => {
    const body = JSON.parse(sending.responseText || "{}");
    if (sending.status !== 201) return over(body.error || "The upload was refused.");
    choose(null); $("upload").reset(); over(""); current = body.id; look();
  };
  sending.open("POST", "/jobs?" + form);
  $("trouble").textContent = ""; $("sent").hidden = false; $("sent").value = 0; $("start").disabled = true;
  sending.send(chosen);
});

// Jobs and the one that is looked at
const inWords = job => ({
  waiting: job.ahead === 1 ? "waits for one other" : `waits for ${job.ahead} others`, running: `${job.phase || "starts"}${job.total ? `, ${Math.round(100 * job.done / job.total)} %` : ""}`,
  done: `done in ${Math.round(job.seconds)} s`, failed: "failed", canceled: "canceled",
})[job.state];
const draw = () => {
  $("jobs").replaceChildren(...(jobs.length ? [...jobs].reverse().map(job => make("li", {}, Object.assign(
    make("button", { type: "button", onclick: () => { current = job.id; draw(); } }, job.title, make("small", { textContent: inWords(job) })),
    { ariaCurrent: String(job.id === current) }))) : [make("li", { className: "none", textContent: "none yet" })]));
  const job = jobs.find(one => one.id === current);
  $("job").hidden = !job; $("empty").hidden = !!job;
  if (!job) return;
  $("title").textContent = job.title;
  const busy = job.state === "waiting" || job.state === "running";
  $("progress").hidden = !busy;
  $("phase").textContent = inWords(job) + (job.state === "running" ? ` – ${Math.round(job.seconds)} s so far` : "");
  if (job.total) $("bar").value = job.done / job.total; else $("bar").removeAttribute("value");
  $("failed").hidden = job.state !== "failed" && job.state !== "canceled";
  $("failed").textContent = job.state === "canceled" ? "Canceled; its files are deleted." : job.error;
  $("found").hidden = job.state !== "done";
  if (job.state === "done" && shown !== job.id) find(job);
};
const look = async () => {
  try { jobs = await ask("/jobs"); draw(); $("jobs").title = ""; }
  catch (error) { $("jobs").title = String(error.message); }
};
const warning = (one, isVideo) => {
  const words = one.sentence.split(/(--[a-z][a-z-]*)/).map((part, place) => place % 2 ? make("span", { className: "option", textContent: part }) : part);
  if (one.time_s === null || !isVideo) return words;
  const jump = () => { tab("overlay"); const film = $("overlay").querySelector("video"); film.pause(); film.currentTime = one.time_s + 1e-3; film.scrollIntoView({ block: "nearest" }); };
  return [make("button", { type: "button", onclick: jump }, ...words)];
};
const find = async job => {
  shown = job.id;
  const told = await ask(`/jobs/${job.id}/told`), files = `/jobs/${job.id}/files/`;
  if (shown !== job.id) return;
  $("hands").replaceChildren(...told.hands.map(hand => make("li", { textContent: told.still ? `${hand.name} hand`
    : `${hand.name} hand: detected in ${hand.detected} of ${told.frames} frames, filled in ${hand.interpolated} between and ${hand.extrapolated} at the ends` })));
  const video = told.files.includes("overlay.mp4"), picture = told.files.includes("overlay.jpg");
  $("overlay").replaceChildren(video ? make("video", { src: files + "overlay.mp4", controls: true, muted: true, loop: true, playsInline: true })
    : picture ? make("img", { src: files + "overlay.jpg", alt: "the fitted hands over the photo" }) : make("p", { textContent: "The overlay could not be drawn." }));
  $("view").replaceChildren(); tab("overlay");
  $("warnings").replaceChildren(...(told.warnings.length ? told.warnings.map(one => make("li", {}, ...warning(one, !!video)))
    : [make("li", { textContent: "Nothing to warn of: every hand was seen throughout and the fit settled." })]));
  $("files").replaceChildren(...told.files.map(name => make("a", name === "report.html" ? { href: files + name, target: "_blank", textContent: "Report" }
    : { href: `${files}${name}?save`, download: "", textContent: name })));
  $("export-state").textContent = "";
};
const tab = name => {
  for (const one of ["overlay", "view"]) { $(one).hidden = one !== name; $("tab-" + one).ariaSelected = String(one === name); $("tab-" + one).tabIndex = one === name ? 0 : -1; }
  if (name === "view" && !$("view").firstChild) open3d();
};
const open3d = async () => {
  const job = shown;
  $("view").replaceChildren(make("p", { textContent: "opening…" }));
  try {
    const { port, key } = await ask(`/jobs/${job}/view`, { method: "POST" });
    if (job === shown) $("view").replaceChildren(make("iframe", { src: `http://${location.hostname}:${port}/?key=${key}`, title: "3D view" }));
  } catch (error) { $("view").replaceChildren(make("p", { className: "trouble", textContent: error.message })); }
};
for (const name of ["overlay", "view"]) $("tab-" + name).addEventListener("click", () => tab(name));
document.querySelector(".tabs").addEventListener("keydown", event => {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const other = $("overlay").hidden ? "overlay" : "view";
  tab(other); $("tab-" + other).focus();
});
$("cancel").addEventListener("click", () => ask(`/jobs/${current}/cancel`, { method: "POST" }).then(look));
$("remove").addEventListener("click", async () => {
  if (!confirm("Delete this job and its files?")) return;
  await ask(`/jobs/${current}`, { method: "DELETE" });
  current = shown = null; look();
});
$("export").addEventListener("click", async () => {
  const job = shown, format = $("format").value;
  $("export").disabled = true; $("export-state").textContent = "writing…";
  try {
    const { file } = await ask(`/jobs/${job}/exports?format=${encodeURIComponent(format)}`, { method: "POST" });
    make("a", { href: `/jobs/${job}/exports/${file.split("/").map(encodeURIComponent).join("/")}`, download: "" }).click();
    $("export-state").textContent = "";
  } catch (error) { $("export-state").textContent = error.message; }
  $("export").disabled = false;
});

ask("/formats").then(told => {
  $("limit").textContent = `at most ${told.most_mib} MiB`;
  $("format").replaceChildren(...told.formats.map(one => make("option", { value: one.name, textContent: one.title })));
});
look();
setInterval(look, 700);
