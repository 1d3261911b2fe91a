// keys.js - the keyboard, and pictures that are dropped on the page.
import { $ } from "./dom.js";
import { takePicture } from "./control.js";
import { isDrawing, stop } from "./queue.js";
import { takeFile } from "./sketch.js";

const isTyping = (target) => target.matches("input:not([type=range]):not([type=checkbox]), textarea, select");

addEventListener("keydown", (event) => {
	if (document.querySelector("dialog[open]")) return;
	if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("draw").hidden) {
		event.preventDefault();
		$("wish").requestSubmit();
	} else if (event.key === "Escape" && isDrawing()) {
		stop();
	} else if (event.key === "/" && !isTyping(event.target)) {
		event.preventDefault();
		$("prompt").focus();
		$("prompt").select();
	} else if (event.key === "?" && !isTyping(event.target)) {
		$("keys").showModal();
	}
});
$("help").onclick = () => $("keys").showModal();
for (const dialog of document.querySelectorAll("dialog"))
	dialog.addEventListener("click", (event) => {
		if (event.target === dialog && dialog.id !== "key-dialog") dialog.close();
	});

let inside = 0; // elements that a dragged file is over
for (const name of ["dragenter", "dragover", "dragleave", "drop"])
	addEventListener(name, (event) => {
		if (!event.dataTransfer.types.includes("Files")) return;
		event.preventDefault();
		inside = name === "drop" ? 0 : inside + (name === "dragenter") - (name === "dragleave");
		document.body.classList.toggle("dropping", inside > 0);
		if (name !== "drop") return;
		const file = event.dataTransfer.files[0], well = event.target.closest("#control, #like");
		if (well) takePicture(well.id, file);
		else takeFile(file);
	});
addEventListener("paste", (event) => {
	const file = [...event.clipboardData.files].find((f) => f.type.startsWith("image/"));
	if (file) takeFile(file);
});
