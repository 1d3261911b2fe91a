// control.js - pictures that steer the drawing: one that it follows (ControlNet), and one that it is to look like
// (IP-Adapter), where the server has networks for them. To the server both are units of A1111's ControlNet extension.
import { $, complain, fileAsUrl, options } from "./dom.js";
import { ask } from "./server.js";

const wells = ["control", "like"]; // each is the prefix of its elements' names
const pictures = {};               // of each well, as an address; undefined: none

function show(well) {
	const picture = pictures[well];
	$(well + "-set").hidden = !picture;
	$(well).classList.toggle("has", !!picture);
	$(well).querySelector(".badge").textContent = picture ? "chosen" : "";
	if (picture) $(well + "-image").src = picture;
}

export async function takePicture(well, file) {
	if (!file) return;
	try {
		pictures[well] = await fileAsUrl(file);
		$(well).open = true;
		show(well);
		await $(well + "-image").decode();
	} catch {
		forget(well);
		complain(`${file.name} cannot be read as a picture.`);
	}
}

function forget(well) {
	delete pictures[well];
	$(well + "-file").value = "";
	show(well);
}

function offer(well, names) {
	$(well).hidden = !names.length;
	if (!names.length && pictures[well]) forget(well);
	options($(well + "-model"), names.map((name) => [name, name]), $(well + "-model").value);
}

// What the server has now.
export async function fillControl() {
	const { control_types: types } = await ask("/controlnet/control_types").catch(() => ({ control_types: {} }));
	const prompts = types["IP-Adapter"], adapters = (prompts?.model_list || []).filter((name) => name !== "None");
	offer("control", (types.All?.model_list || []).filter((name) => name !== "None" && !adapters.includes(name)));
	offer("like", prompts?.module_list.includes("ip-adapter-auto") ? adapters : []); // without a vision tower it is none
}

export function chooseControl(name) {
	$("control-model").value = name;
	$("control").open = true;
	$(pictures.control ? "control-model" : "control-file").focus();
}

export async function openControl() {
	for (const well of wells) {
		$(well + "-file").onchange = () => takePicture(well, $(well + "-file").files[0]);
		$(well + "-forget").onclick = () => {
			forget(well);
			$(well + "-file").focus();
		};
	}
	await fillControl();
}

const unit = (well, module) => ({ enabled: true, image: pictures[well], model: $(well + "-model").value, module,
	weight: Number($(well + "-weight").value), guidance_start: 0, guidance_end: Number($(well + "-end").value) });

export function addControl(body) {
	const args = [];
	if (pictures.control) args.push(unit("control", $("control-module").value));
	if (pictures.like) args.push(unit("like", "ip-adapter-auto"));
	if (args.length) body.alwayson_scripts = { controlnet: { args } };
}
