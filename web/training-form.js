// training-form.js - what is to be trained on what: each kind of run asks for what it needs, with the server's defaults.
import { $, blame, element, options, setText } from "./dom.js";
import { ask } from "./server.js";

const kinds = {
	lora: "a LoRA: a small file that changes the model",
	embedding: "a word: what the pictures show, by a name",
	controlnet: "a ControlNet: to follow pictures",
	diffusion: "the whole model",
};
// What a kind asks for first, in this order; the rest is under More.
const first = {
	lora: ["max_train_steps", "learning_rate", "network_dim", "resolution", "instance_prompt", "validation_prompts"],
	embedding: ["initializer_token", "num_vectors", "max_train_steps", "learning_rate", "resolution", "train_batch_size",
		"validation_prompts"],
	controlnet: ["max_train_steps", "learning_rate", "train_batch_size", "resolution", "instance_prompt", "validation_prompts"],
	diffusion: ["max_train_steps", "learning_rate", "train_batch_size", "resolution", "instance_prompt", "validation_prompts"],
};
const names = {
	max_train_steps: "Steps", learning_rate: "Learning rate", network_dim: "Rank", resolution: "Picture size",
	train_batch_size: "Pictures a step", instance_prompt: "Caption of pictures without one", validation_prompts: "Drawn now and then",
	placeholder_token: "The word in captions", initializer_token: "Begins as the word", num_vectors: "Vectors",
	validation_steps: "Steps between drawings", validation_inference_steps: "Steps of a drawing",
	checkpointing_steps: "Steps between checkpoints", gradient_accumulation_steps: "Batches a step",
	random_flip: "Mirror half of the pictures", lr_scheduler: "Course of the rate", lr_warmup_steps: "Steps of warm-up",
	mixed_precision: "Numbers", gradient_checkpointing: "Less memory, more time", train_text_encoder: "The text encoders too",
	use_ema: "Average of the weights", snr_gamma: "Min-SNR gamma", caption_dropout: "Captions left out", network_alpha: "Alpha",
	network_conv: "Convolutions too",
};
const words = { no: "f32" }; // of choices
const wide = new Set(["instance_prompt", "validation_prompts"]);

let choices = {}, runs = [];
let edited = false; // a run that was stopped goes on with the options that it had

const hintOf = (option) => ({
	resolution: "the model's", instance_prompt: "a photo of sks dog", validation_prompts: "prompts, with | between them",
	placeholder_token: nameOfRun(), initializer_token: "cat",
})[option.name] ?? option.standard;

const labelOf = (name) => names[name] || name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

export const nameOfRun = () => `${$("train-set").value}-${$("train-kind").value}`;

function field(option) {
	const { name, help, flag } = option, id = "train-" + name, text = labelOf(name);
	if (flag) return element("label", { className: "check", title: help }, element("input", { type: "checkbox", id, name }), text);
	let input;
	if (option.choices.length) {
		input = element("select", { id, name, title: help });
		options(input, option.choices.map((one) => [one === option.standard ? "" : one, words[one] || one]), "");
	} else {
		input = element("input", { id, name, title: help, placeholder: hintOf(option) });
		if (option.number) input.inputMode = "decimal";
	}
	return element("div", { className: wide.has(name) ? "field wide" : "field" }, element("label", { htmlFor: id, title: help }, text), input);
}

const fields = () => document.querySelectorAll("#train-main [name], #train-more [name]");

function showFields() {
	const kind = $("train-kind").value, all = new Map(choices[kind].map((option) => [option.name, option]));
	$("train-main").replaceChildren(...first[kind].map((name) => field(all.get(name))));
	for (const name of first[kind]) all.delete(name);
	const flags = [...all.values()].filter((option) => option.flag), rest = [...all.values()].filter((option) => !option.flag);
	$("train-more").replaceChildren(...[...rest, ...flags].map(field));
	$("train-word").hidden = kind !== "embedding";
	setText($("train-word"), `In prompts it is called ${nameOfRun()}.`);
	$("train-follow").hidden = kind !== "controlnet";
	showHints();
	edited = false;
	const before = runs.find((run) => run.name === nameOfRun());
	if (before) ask("/sumi/training/" + encodeURIComponent(before.name)).then(fill).catch(refuse);
}

// Pictures to follow are another data set; most likely one whose name begins alike.
function showHints() {
	const set = $("train-set").value, others = [...$("train-set").options].filter((o) => o.value !== set);
	const likely = others.find((o) => o.value.startsWith(set)) || others[0];
	options($("train-hints"), others.map((o) => [o.value, o.text]), likely?.value);
	$("train-hints").disabled = !others.length;
	$("no-hints").hidden = others.length > 0;
}

// As a run had it.
function fill(run) {
	if (run.name !== nameOfRun()) return; // another one was chosen meanwhile
	for (const input of fields())
		if (input.type === "checkbox") input.checked = run.options[input.name] === "true";
		else input.value = run.options[input.name] ?? "";
	if (run.hints) $("train-hints").value = run.hints;
}

// The server calls an option as the command line does, --learning_rate; here it has the field's name.
export function refuse(error) {
	error.message = error.message.replace(/^--(\w+)/, (_, name) => labelOf(name));
	if (!blame($("train-form"), error)) setText($("train-problem"), error.message);
}

async function start(event, started) {
	event.preventDefault();
	const [set, kind, model, hints] = ["train-set", "train-kind", "train-model", "train-hints"].map((id) => $(id).value), values = {};
	for (const input of fields()) {
		const value = input.type === "checkbox" ? (input.checked ? "true" : "") : input.value.trim();
		if (value) values[input.name] = value;
	}
	setText($("train-problem"), "");
	try {
		await ask("/sumi/training", { body: { set, kind, model, hints: kind === "controlnet" ? hints : "", options: values } });
		edited = false;
		await started(nameOfRun());
		$("train-run").scrollIntoView({ block: "nearest" });
	} catch (error) {
		refuse(error);
	}
}

function inWords(set) {
	return `${set.name}: ${set.pictures} picture${set.pictures === 1 ? "" : "s"}${set.captions < set.pictures ? `, ${set.captions || "no"} caption${set.captions === 1 ? "" : "s"}` : ""}`;
}

// What the server says of data sets, runs and options; and whether one is going on.
export function showForm(said, going) {
	({ runs, options: choices } = said);
	const sets = said.sets.map((set) => [set.name, inWords(set)]), first = !$("train-kind").options.length;
	if (JSON.stringify(sets) !== JSON.stringify([...$("train-set").options].map((o) => [o.value, o.text]))) {
		options($("train-set"), sets, $("train-set").value);
		showHints();
	}
	if (first) {
		options($("train-kind"), Object.entries(kinds));
		options($("train-model"), [...$("model").options].map((o) => [o.value, o.text]), $("model").value);
		showFields();
	}
	$("no-sets").hidden = sets.length > 0;
	$("train-go").disabled = !!going || !sets.length;
	$("train-shares").hidden = !going;
	const same = runs.find((run) => run.name === nameOfRun());
	setText($("train-go"), same && same.state === "stopped" && !edited ? "Go on" : "Train");
}

// started: called with the name of a run that has begun; chosen: when another set or kind is.
export function openForm(started, chosen) {
	$("train-form").onsubmit = (event) => start(event, started);
	$("train-form").oninput = () => {
		edited = true;
		setText($("train-go"), "Train");
	};
	$("train-kind").onchange = $("train-set").onchange = () => {
		showFields();
		chosen();
	};
}
