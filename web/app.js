// app.js - the page: a form becomes a request, its picture grows while it is drawn, and what was made can be made again.
// It speaks the same API as every other client (docs/serve.md).
const $ = (id) => document.getElementById(id);
const api = "/sdapi/v1/";
let key = sessionStorage.getItem("key") || "";
let drawing = false, asked = 0;

async function ask(path, body) {
	const headers = { "Content-Type": "application/json" }, given = key;
	if (key) headers.Authorization = "Bearer " + key;
	const answer = await fetch(path, body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) });
	if (answer.status === 401) {
		if (key === given) { // another request may have asked for it meanwhile
			key = prompt("This server asks for its key") || "";
			sessionStorage.setItem("key", key);
		}
		if (key) return ask(path, body);
	}
	const said = await answer.json();
	if (answer.ok) return said;
	const detail = said.detail && said.detail[0] && said.detail[0].msg ? said.detail[0].msg : said.detail;
	throw new Error(detail || "status " + answer.status);
}

function say(text) { $("state").textContent = text; }

// ── what there is ──

function fill(select, names, chosen) {
	select.replaceChildren(...names.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

async function begin() {
	const [models, samplers, schedules, options] = await Promise.all(
		["sd-models", "samplers", "schedulers", "options"].map((name) => ask(api + name)));
	fill($("model"), models.map((m) => [m.title, m.model_name]), options.sd_model_checkpoint);
	fill($("sampler"), [["", "the model's own"], ...samplers.map((s) => [s.name, s.name])]);
	fill($("schedule"), schedules.map((s) => [s.label, s.label]));
	const last = JSON.parse(localStorage.getItem("wish") || "null");
	if (last) restore(last);
	showGallery();
	say("");
}

// ── asking ──

const own = { width: 0, height: 0, cfg_scale: -1 }; // what asks for the model's own

function wish() {
	const body = { override_settings: { sd_model_checkpoint: $("model").value } };
	for (const field of $("wish").elements)
		if (field.name && field.value !== "") body[field.name] = field.type === "number" ? Number(field.value) : field.value;
	return { ...own, ...body };
}

function restore(values) {
	for (const field of $("wish").elements)
		if (field.name && values[field.name] !== undefined)
			field.value = own[field.name] === values[field.name] ? "" : values[field.name];
	const model = values.override_settings && values.override_settings.sd_model_checkpoint;
	if (model && [...$("model").options].some((o) => o.value === model)) $("model").value = model;
}

function show(base64, preview) {
	$("picture").src = "data:image/png;base64," + base64;
	$("picture").hidden = false;
	$("picture").classList.toggle("preview", preview);
	$("picture").alt = (preview ? "On the way: " : "") + $("prompt").value;
}

async function watch(mine) {
	while (drawing && mine === asked) {
		await new Promise((done) => setTimeout(done, 250));
		try {
			const p = await ask(api + "progress");
			if (!drawing || mine !== asked) return;
			$("bar").value = p.progress;
			if (p.current_image) show(p.current_image, true);
			if (p.state.sampling_steps) say(`step ${p.state.sampling_step} of ${p.state.sampling_steps}`);
		} catch { return; }
	}
}

async function draw(event) {
	event.preventDefault();
	if (drawing) return;
	const body = wish(), mine = ++asked;
	localStorage.setItem("wish", JSON.stringify(body));
	let path = api + "txt2img";
	if (sketch.picture) {
		path = api + "img2img";
		body.init_images = [sketch.picture];
		body.denoising_strength = Number($("strength").value);
		if (sketch.painted) Object.assign(body, { mask: maskAsPicture(), inpainting_fill: 1, inpaint_full_res: false });
	}
	drawing = true;
	$("go").disabled = true;
	$("stop").disabled = false;
	$("bar").hidden = false;
	$("bar").value = 0;
	$("said").textContent = "";
	say("waiting");
	watch(mine);
	try {
		const answer = await ask(path, body), info = JSON.parse(answer.info);
		answer.images.forEach((image, i) => keep(image, { ...wish(), seed: info.all_seeds[i], batch_size: 1 }, info.infotexts[i]));
		if (answer.images.length) {
			show(answer.images[0], false);
			$("said").textContent = info.infotexts[0];
		}
		say(answer.images.length ? "" : "stopped");
	} catch (error) {
		say(error.message);
	}
	drawing = false;
	$("go").disabled = false;
	$("stop").disabled = true;
	$("bar").hidden = true;
}

// ── the gallery ──

const made = [];

function keep(image, values, text) {
	made.unshift({ image, values, text });
	made.length = Math.min(made.length, 60);
	if ($("keep").checked) store();
	showGallery();
}

function database() {
	return new Promise((done, failed) => {
		const open = indexedDB.open("sumi", 1);
		open.onupgradeneeded = () => open.result.createObjectStore("gallery");
		open.onsuccess = () => done(open.result);
		open.onerror = () => failed(open.error);
	});
}

async function store() {
	(await database()).transaction("gallery", "readwrite").objectStore("gallery").put($("keep").checked ? made : [], "made");
	localStorage.setItem("keep", $("keep").checked ? "yes" : "");
}

async function load() {
	$("keep").checked = localStorage.getItem("keep") === "yes";
	if (!$("keep").checked) return;
	const got = (await database()).transaction("gallery").objectStore("gallery").get("made");
	await new Promise((done) => (got.onsuccess = got.onerror = done));
	made.push(...(got.result || []));
}

function showGallery() {
	$("made").replaceChildren(...made.map((one) => {
		const item = document.createElement("li"), button = document.createElement("button"), image = new Image();
		image.src = "data:image/png;base64," + one.image;
		image.alt = one.values.prompt || "a picture";
		button.type = "button";
		button.title = "Take its settings";
		button.append(image);
		button.onclick = () => {
			restore(one.values);
			show(one.image, false);
			$("said").textContent = one.text;
			scrollTo({ top: 0 });
		};
		item.append(button);
		return item;
	}));
}

// ── a picture to begin with, and its mask ──

const sketch = { picture: null, painted: false, settings: null };

function fromText(values) {
	const size = (values.Size || "").split("x");
	return {
		prompt: values.Prompt, negative_prompt: values["Negative prompt"], steps: values.Steps, sampler_name: values.Sampler,
		scheduler: values["Schedule type"], cfg_scale: values["CFG scale"], seed: values.Seed, width: size[0], height: size[1],
	};
}

async function take(file) {
	if (!file || !file.type.startsWith("image/")) return;
	const url = await new Promise((done) => {
		const reader = new FileReader();
		reader.onload = () => done(reader.result);
		reader.readAsDataURL(file);
	});
	sketch.picture = url;
	$("init").src = url;
	await $("init").decode();
	$("mask").width = $("init").naturalWidth;
	$("mask").height = $("init").naturalHeight;
	sketch.painted = false;
	$("sketch").hidden = false;
	$("restore").hidden = true;
	try {
		const said = await ask(api + "png-info", { image: url });
		sketch.settings = said.info ? fromText(said.parameters) : null;
		$("restore").hidden = !sketch.settings;
	} catch (error) {
		say(error.message);
	}
}

function paint(event) {
	if (!(event.buttons & 1)) return;
	const canvas = $("mask"), box = canvas.getBoundingClientRect(), ink = canvas.getContext("2d");
	const scale = canvas.width / box.width;
	ink.fillStyle = "#fff";
	ink.beginPath();
	ink.arc((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, ($("brush").value * scale) / 2, 0, 2 * Math.PI);
	ink.fill();
	sketch.painted = true;
}

function maskAsPicture() {
	const black = document.createElement("canvas");
	black.width = $("mask").width;
	black.height = $("mask").height;
	const ink = black.getContext("2d");
	ink.fillRect(0, 0, black.width, black.height);
	ink.drawImage($("mask"), 0, 0);
	return black.toDataURL("image/png");
}

function clearMask() {
	$("mask").getContext("2d").clearRect(0, 0, $("mask").width, $("mask").height);
	sketch.painted = false;
}

// ── events ──

$("wish").addEventListener("submit", draw);
$("stop").onclick = () => ask(api + "interrupt", {}).catch((error) => say(error.message));
$("file").onchange = () => take($("file").files[0]);
$("mask").onpointerdown = $("mask").onpointermove = paint;
$("clear-mask").onclick = clearMask;
$("restore").onclick = () => restore(sketch.settings);
$("forget").onclick = () => {
	sketch.picture = null;
	$("sketch").hidden = true;
	$("file").value = "";
};
$("keep").onchange = store;
addEventListener("keydown", (event) => {
	if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("wish").requestSubmit();
	if (event.key === "Escape" && drawing) $("stop").click();
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"])
	addEventListener(name, (event) => {
		event.preventDefault();
		document.body.classList.toggle("over", name === "dragenter" || name === "dragover");
		if (name === "drop") take(event.dataTransfer.files[0]);
	});

say("opening");
load().catch(() => {}).then(begin).catch((error) => say(error.message));
