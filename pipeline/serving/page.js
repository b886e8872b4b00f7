"use strict";
// Shows what POST /predict says of photos; all drawing is in pixels of the photo, which the canvas is scaled to.
const at = id => document.getElementById(id);
const canvas = at("canvas"), context = canvas.getContext("2d");
const BOXES = ["#ffbe00", "#c850ff", "#3cdc5a", "#00c8dc", "#ff78a0", "#a0c83c"];
const entries = [];
let shown = -1, chosen = [], about = {categories: {}, sides: [], columns: {"": [], points: []}, limits: {photos: 1}};

fetch("/about").then(answer => answer.json()).then(told => {
  about = told;
  at("about").textContent = `Weights ${told.weights}; at most ${told.limits.photos} photos and ${told.limits.megabytes} MB at once.`;
});

const colourOf = category => BOXES[Object.keys(about.categories).indexOf(category) % BOXES.length];
const sideOf = name => ["#ff463c", "#2896ff"].find((_, side) => about.sides.some(pair => pair[side] === name)) || "#3cdc5a";

// What the server says of further columns: {"": those of a garment, points: those of its points, GROUP: those of others}.
const shownOf = (columns, values) => columns.filter(({name}) => values[name] !== undefined)
  .map(({name, unit}) => `${name} ${[values[name]].flat().join(" ")}${unit ? " " + unit : ""}`).join(", ");
function facts(garment) {
  const groups = Object.entries(about.columns).filter(([group]) => group !== "" && group !== "points");
  const rows = groups.flatMap(([group, columns]) => Object.entries(garment[group] || {})
    .map(([name, values]) => `${name}: ${shownOf(columns, values)}`));
  return [...about.columns[""].map(column => shownOf([column], garment)), ...rows].filter(text => text);
}

async function send(files) {
  const photos = [...files].filter(file => file.type.startsWith("image/") || /\.(jpe?g|png|webp|avif|gif|bmp|tiff?)$/i.test(file.name));
  if (!photos.length) { say("These are no photos."); return }
  say("");
  for (let first = 0; first < photos.length; first += about.limits.photos) {
    const part = photos.slice(first, first + about.limits.photos), form = new FormData();
    part.forEach(file => form.append("photos", file));
    document.body.setAttribute("aria-busy", "true");
    let answer;
    try { answer = await fetch("/predict", {method: "POST", body: form}) }
    catch { say("The server does not answer."); break }
    finally { document.body.removeAttribute("aria-busy") }
    const told = await answer.json().catch(() => ({detail: `status ${answer.status}`}));
    if (!answer.ok) { say(typeof told.detail === "string" ? told.detail : `status ${answer.status}`); break }
    for (let i = 0; i < part.length; i++) {
      const entry = {file: part[i], result: told[i], image: null};
      if (!told[i].error) entry.image = await load(part[i]);
      entries.push(entry);
      if (i === 0 && first === 0) show(entries.length - 1);
    }
    list();
  }
}

function load(file) {
  return new Promise(done => {
    const image = new Image(), place = URL.createObjectURL(file);
    image.onload = () => done(image);
    image.onerror = () => { URL.revokeObjectURL(place); done(null) };
    image.src = place;
  });
}

function say(text) { at("message").textContent = text }

function list() {
  const nav = at("photos");
  nav.replaceChildren(...entries.map((entry, i) => {
    const button = document.createElement("button");
    button.textContent = entry.result.photo;
    button.className = (i === shown ? "shown " : "") + (entry.result.error ? "bad" : "");
    button.onclick = () => show(i);
    return button;
  }));
  at("json").disabled = at("csv").disabled = !entries.length;
}

function show(number) {
  shown = number; chosen = [];
  const {result, image} = entries[number];
  say(result.error || "");
  at("hint").style.display = image ? "none" : "";
  canvas.style.display = image ? "block" : "none";
  if (image) { canvas.width = result.width; canvas.height = result.height }
  at("garments").replaceChildren(...(result.garments || []).map(garment => {
    const block = document.createElement("div"), head = document.createElement("b"), points = document.createElement("ul");
    const lines = facts(garment).map(text => { const line = document.createElement("p"); line.textContent = text; return line });
    block.className = "garment"; block.style.borderColor = colourOf(garment.category);
    head.textContent = `${garment.category} ${garment.score.toFixed(2)}`;
    points.replaceChildren(...Object.entries(garment.points).map(([name, point]) => {
      const item = document.createElement("li");
      item.textContent = `${name} ${Math.round(point.x)}, ${Math.round(point.y)}`;
      return item;
    }));
    block.append(head, ...lines, points);
    return block;
  }));
  if (!result.error && !result.garments.length) say("No garment was found.");
  else if (!result.error && !image) say("This browser cannot show the photo; its points can be downloaded.");
  draw(); list();
}

function everyPoint() {
  return (entries[shown]?.result.garments || []).flatMap((garment, g) =>
    Object.entries(garment.points).map(([name, point]) => ({...point, name, g, category: garment.category})));
}

function draw() {
  const {result, image} = entries[shown] || {};
  if (!image) return;
  const unit = Math.max(result.width, result.height) / 400;
  context.drawImage(image, 0, 0, result.width, result.height);
  for (const garment of result.garments) {
    const [x0, y0, x1, y1] = garment.box;
    context.lineWidth = 1.2 * unit; context.strokeStyle = colourOf(garment.category);
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
  if (chosen.length === 2) {
    context.lineWidth = unit; context.strokeStyle = "#fff"; context.beginPath();
    context.moveTo(chosen[0].x, chosen[0].y); context.lineTo(chosen[1].x, chosen[1].y); context.stroke();
  }
  for (const point of everyPoint()) {
    const large = chosen.some(other => other.name === point.name && other.g === point.g);
    context.beginPath(); context.arc(point.x, point.y, (large ? 4 : 2.4) * unit, 0, 2 * Math.PI);
    context.fillStyle = sideOf(point.name); context.fill();
    context.lineWidth = .6 * unit; context.strokeStyle = "#000"; context.stroke();
  }
}

function nearest(event) {
  const place = canvas.getBoundingClientRect(), scale = canvas.width / place.width;
  const x = (event.clientX - place.left) * scale, y = (event.clientY - place.top) * scale;
  const found = everyPoint().map(point => [Math.hypot(point.x - x, point.y - y), point]).sort((a, b) => a[0] - b[0])[0];
  return found && found[0] < 12 * scale ? found[1] : null;
}

canvas.onmousemove = event => {
  const point = nearest(event), tip = at("tip"), frame = at("drop").getBoundingClientRect();
  tip.style.display = point ? "block" : "none";
  if (!point) return;
  const error = point.expected_error === undefined ? "" : `, error about ${(100 * point.expected_error).toFixed(0)} %`;
  const more = [shownOf(about.columns.points, point)].filter(text => text).map(text => `, ${text}`).join("");
  tip.textContent = `${point.category}: ${point.name}, score ${point.score.toFixed(2)}${error}${more}`;
  tip.style.left = `${event.clientX - frame.left + 14}px`; tip.style.top = `${event.clientY - frame.top + 10}px`;
};

canvas.onclick = event => {
  const point = nearest(event);
  if (!point) return;
  chosen = chosen.length === 2 ? [point] : [...chosen, point];
  const [a, b] = chosen;
  at("measure").textContent = b
    ? `${a.name} to ${b.name}: ${Math.hypot(a.x - b.x, a.y - b.y).toFixed(1)} pixels`
    : `${a.name} to …`;
  draw();
};

function download(name, kind, text) {
  const link = document.createElement("a"), place = URL.createObjectURL(new Blob([text], {type: kind}));
  link.href = place; link.download = name; link.click();
  setTimeout(() => URL.revokeObjectURL(place), 1000);
}

at("json").onclick = () => download("predictions.json", "application/json", JSON.stringify(entries.map(entry => entry.result), null, 1));
at("csv").onclick = () => {
  const quoted = text => `"${String(text).replaceAll('"', '""')}"`, names = group => about.columns[group].map(({name}) => name);
  const cells = (group, values) => names(group).map(name => quoted([values[name] ?? ""].flat().join(" ")));
  const rows = [["photo,garment,category,score,keypoint,x,y,point_score", ...names(""), ...names("points")].join(",")];
  for (const {result} of entries)
    (result.garments || []).forEach((garment, g) => Object.entries(garment.points).forEach(([name, point]) =>
      rows.push([quoted(result.photo), g, garment.category, garment.score, name, point.x, point.y, point.score,
        ...cells("", garment), ...cells("points", point)].join(","))));
  download("points.csv", "text/csv", rows.join("\n") + "\n");
};

at("files").onchange = event => {
  const files = [...event.target.files];
  event.target.value = "";  // so that the same photo can be chosen again
  send(files);
};
for (const name of ["dragover", "dragleave", "drop"])
  addEventListener(name, event => { event.preventDefault(); at("drop").classList.toggle("over", name === "dragover") });
addEventListener("drop", event => send(event.dataTransfer.files));
