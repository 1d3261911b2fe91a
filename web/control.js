// control.js - a picture that the drawing follows, where the server has a ControlNet.
import { $, complain, fileAsUrl, options } from "./dom.js";
import { ask } from "./server.js";

let picture = null;

function show() {
	$("control-set").hidden = !picture;
	$("control").classList.toggle("has", !!picture);
	$("control").querySelector(".badge").textContent = picture ? "chosen" : "";
	if (picture) $("control-image").src = picture;
}

export async function fillControl() {
	const said = await ask("/controlnet/model_list").catch(() => ({ model_list: [] }));
	const names = said.model_list.filter((name) => name !== "None");
	$("control").hidden = !names.length;
	options($("control-model"), names.map((name) => [name, name]), $("control-model").value);
}

export function chooseControl(name) {
	$("control-model").value = name;
	$("control").open = true;
	$(picture ? "control-model" : "control-file").focus();
}

export async function openControl() {
	await fillControl();
	$("control-file").onchange = async () => {
		try {
			if ($("control-file").files[0]) picture = await fileAsUrl($("control-file").files[0]);
			show();
		} catch (error) {
			complain(error);
		}
	};
	$("control-forget").onclick = () => {
		picture = null;
		$("control-file").value = "";
		show();
	};
}

export function addControl(body) {
	if (!picture) return;
	body.alwayson_scripts = { controlnet: { args: [{ enabled: true, image: picture, model: $("control-model").value,
		module: $("control-module").value, weight: Number($("control-weight").value), guidance_start: 0,
		guidance_end: Number($("control-end").value) }] } };
}
