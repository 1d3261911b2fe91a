// app.js - puts the page together: the form becomes a request, its picture grows on the stage and goes to the gallery.
import { $, asData, complain, finishToast, say } from "./dom.js";
import { addControl, fillControl, openControl } from "./control.js";
import * as gallery from "./gallery.js";
import { fillLoras, openLoras } from "./loras.js";
import { followPrompts } from "./prompt.js";
import * as queue from "./queue.js";
import { fillSettings, restore, showModel, takeSeed, wanted } from "./settings.js";
import { addSketch, beginWith } from "./sketch.js";
import * as stage from "./stage.js";
import { fresh } from "./store.js";
import { openTraining } from "./training.js";
import "./keys.js";
import "./words.js";

$("wish").addEventListener("submit", (event) => {
	event.preventDefault();
	const body = wanted();
	addSketch(body);
	addControl(body);
	queue.ask(body);
});

queue.onDrawing({
	begin() {
		stage.begin();
		$("stop").hidden = false;
	},
	progress: stage.progress,
	preview: (base64, wish) => stage.preview(base64, wish.prompt),
	picture(event, wish) {
		const made = fresh(event, wish.body);
		gallery.add(made);
		if (!wish.shown) stage.show(made); // of several the first; all are in the gallery
		wish.shown = true;
	},
	end() {
		stage.end();
		$("stop").hidden = true;
	},
});
$("stop").onclick = queue.stop;

stage.onPicture((picture) => {
	if (!picture) return;
	$("reuse").onclick = () => restore(picture.values);
	$("take-seed").onclick = () => takeSeed(picture.seed);
	$("begin-with").onclick = () => beginWith(asData($("picture"))).catch(complain);
});

$("model").addEventListener("change", () => showModel().catch(complain));
addEventListener("pagehide", finishToast);

try {
	say("opening");
	await fillSettings();
	const about = await showModel();
	openTraining(about, () => Promise.all([fillLoras(), fillControl()]));
	await Promise.all([gallery.openGallery(about, restore), openLoras(), openControl()]);
	followPrompts();
	say("");
} catch (error) {
	say("");
	complain(error);
}
