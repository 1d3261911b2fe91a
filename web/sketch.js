// sketch.js - a picture to begin with, and the mask that is painted over it.
import { $, complain, fileAsUrl, say } from "./dom.js";
import { ask } from "./server.js";
import { fromParameters, notTaken, restore } from "./settings.js";

const mask = $("mask"), ink = mask.getContext("2d", { willReadFrequently: true });
let picture = null;  // its data: address; null: none
let parameters = null; // what it says of itself, taken apart
let undo = [];       // the mask before each stroke
let last = null;     // where the brush was
const cursor = { x: 0, y: 0, shown: false };

const painted = () => undo.length > 0 && ink.getImageData(0, 0, mask.width, mask.height).data.some((v, i) => i % 4 === 3 && v > 0);

function show() {
	const any = painted();
	$("mask-undo").disabled = !undo.length;
	$("mask-clear").disabled = !any;
	$("inpaint").hidden = !any;
	$("start").querySelector(".badge").textContent = picture ? (any ? "with a mask" : "chosen") : "";
}

// ── painting ──

const erasing = () => $("erase").getAttribute("aria-pressed") === "true";

function setTool(erase) {
	$("paint").setAttribute("aria-pressed", !erase);
	$("erase").setAttribute("aria-pressed", erase);
}

function remember() {
	undo.push(ink.getImageData(0, 0, mask.width, mask.height));
	if (undo.length > 20) undo.shift();
}

function strokeTo(x, y) {
	ink.globalCompositeOperation = erasing() ? "destination-out" : "source-over";
	ink.strokeStyle = "#fff";
	ink.lineWidth = $("brush").value * scale();
	ink.lineCap = ink.lineJoin = "round";
	ink.beginPath();
	ink.moveTo(last ? last.x : x, last ? last.y : y);
	ink.lineTo(x + 0.01, y); // a line of no length would not be drawn
	ink.stroke();
	last = { x, y };
}

const scale = () => mask.width / mask.getBoundingClientRect().width;

function place(event) {
	const box = mask.getBoundingClientRect();
	return [(event.clientX - box.left) * scale(), (event.clientY - box.top) * scale()];
}

mask.onpointerdown = (event) => {
	if (event.button) return;
	mask.setPointerCapture(event.pointerId);
	remember();
	last = null;
	strokeTo(...place(event));
};
mask.onpointermove = (event) => {
	const [x, y] = place(event);
	$("mask").parentElement.style.setProperty("--x", x / scale() + "px");
	$("mask").parentElement.style.setProperty("--y", y / scale() + "px");
	if (last && event.buttons & 1) strokeTo(x, y);
};
mask.onpointerup = mask.onpointercancel = () => {
	last = null;
	show();
};
mask.onkeydown = (event) => {
	const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key], step = $("brush").value / 2;
	if (by) {
		cursor.x = Math.min(mask.width, Math.max(0, cursor.x + by[0] * step * scale()));
		cursor.y = Math.min(mask.height, Math.max(0, cursor.y + by[1] * step * scale()));
		mask.parentElement.style.setProperty("--x", cursor.x / scale() + "px");
		mask.parentElement.style.setProperty("--y", cursor.y / scale() + "px");
	} else if (event.key === " ") {
		remember();
		last = null;
		strokeTo(cursor.x, cursor.y);
		last = null;
		show();
	} else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
		$("mask-undo").click();
	} else return;
	event.preventDefault();
};
$("paint").onclick = () => setTool(false);
$("erase").onclick = () => setTool(true);
$("mask-undo").onclick = () => {
	ink.putImageData(undo.pop(), 0, 0);
	show();
};
$("mask-clear").onclick = () => {
	remember();
	ink.clearRect(0, 0, mask.width, mask.height);
	show();
};
$("brush").addEventListener("input", () => mask.parentElement.style.setProperty("--brush", $("brush").value + "px"));

// ── the picture ──

export async function beginWith(address) {
	picture = address;
	$("init").src = address;
	await $("init").decode();
	mask.width = $("init").naturalWidth;
	mask.height = $("init").naturalHeight;
	cursor.x = mask.width / 2;
	cursor.y = mask.height / 2;
	undo = [];
	$("sketch").hidden = false;
	$("start").open = true;
	$("start").classList.add("has");
	$("brush").dispatchEvent(new Event("input"));
	show();
}

function forget() {
	picture = parameters = null;
	undo = [];
	$("sketch").hidden = true;
	$("start").classList.remove("has");
	$("file").value = "";
	show();
}

export async function takeFile(file) {
	if (!file) return;
	if (!file.type.startsWith("image/")) return complain(`${file.name} is not a picture: PNG, JPEG, WebP and BMP are read.`);
	complain("");
	try {
		const address = await fileAsUrl(file);
		await beginWith(address);
		const said = await ask("/sdapi/v1/png-info", { body: { image: address } });
		parameters = said.info ? said.parameters : null;
		$("brings").hidden = !parameters;
	} catch (error) {
		forget();
		complain(error.status === undefined ? `${file.name} cannot be read as a picture.` : error);
	}
}

function set(name, value) {
	$(name).value = value;
	$(name).dispatchEvent(new Event("input"));
}

$("file").onchange = () => takeFile($("file").files[0]);
$("forget").onclick = forget;
$("restore").onclick = () => {
	const rest = notTaken(parameters);
	restore(fromParameters(parameters));
	if (parameters["Denoising strength"]) set("strength", parameters["Denoising strength"]);
	$("brings").hidden = true;
	say(rest.length ? `taken, but for: ${rest.join(", ")}` : "its settings are in the form");
};

// ── in a request ──

function maskAsPicture() {
	const black = document.createElement("canvas");
	black.width = mask.width;
	black.height = mask.height;
	const to = black.getContext("2d");
	to.fillRect(0, 0, black.width, black.height);
	to.drawImage(mask, 0, 0);
	return black.toDataURL("image/png");
}

export function addSketch(body) {
	if (!picture) return;
	body.init_images = [picture];
	body.denoising_strength = Number($("strength").value);
	body.resize_mode = Number($("resize").value);
	if (!painted()) return;
	Object.assign(body, { mask: maskAsPicture(), mask_blur: Number($("mask-blur").value), inpainting_fill: Number($("fill").value),
		inpaint_full_res: $("only-masked").checked, inpaint_full_res_padding: Number($("padding").value),
		inpainting_mask_invert: $("inverted").checked ? 1 : 0 });
}
