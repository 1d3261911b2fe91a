"""page.py SUMI - drives the page of `sumi serve` in headless Chromium, as people do. Exits 77 where Chromium, its driver or
selenium is not installed (`make test-page` installs them). AXE=axe.min.js: axe-core looks at each state of the page too.
SHOTS=DIR keeps screenshots: narrow and wide, light and dark."""
import base64, json, os, shutil, sys, tempfile

try:
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.chrome.service import Service
except ImportError:
    print("skipped: no selenium, which drives the browser")
    sys.exit(77)
driver = shutil.which("chromedriver")
if not driver or not (shutil.which("chromium") or shutil.which("google-chrome")):
    print("skipped: no Chromium with its driver")
    sys.exit(77)
from client import Server, check, finish, wait, write_safetensors

AXE = open(os.environ["AXE"]).read() if os.environ.get("AXE") else None
SHOTS = os.environ.get("SHOTS")
CAT = "smiling cat with heart-eyes"
WIDE, NARROW = (1360, 940), (390, 844)


class Page:
    def __init__(self, server, key=None):
        options = webdriver.ChromeOptions()
        for a in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
            options.add_argument(a)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_script_timeout(60)
        self.look(WIDE, False)
        self.driver.get(f"http://127.0.0.1:{server.port}/")
        if key:
            check("it asks for the key", wait(lambda: self.shown("key-dialog")))
            self.state("key")
            self.at("key").send_keys("not this", Keys.ENTER)
            check("a wrong key is said to be wrong", wait(lambda: self.shown("key-problem")) and self.shown("key-dialog"))
            self.at("key").send_keys(key, Keys.ENTER)
        check("the page opens", wait(lambda: self.text("prompt-count")) and not self.text("problem"), self.text("problem"))

    def look(self, size, dark):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == NARROW})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}, {"name": "prefers-reduced-motion", "value": "reduce"}]})

    def at(self, name):
        return self.driver.find_element(By.ID, name)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, name):
        return self.at(name).get_attribute("textContent").strip()

    def value(self, name):
        return self.at(name).get_attribute("value")

    def shown(self, name):
        return self.at(name).is_displayed()

    def put(self, name, text):
        self.at(name).send_keys(Keys.CONTROL, "a")
        self.at(name).send_keys(str(text) if text != "" else Keys.DELETE)

    def set(self, name, value):
        """Of a slider or a list, as a hand on it would."""
        self.run("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
                 "arguments[0].dispatchEvent(new Event('change', {bubbles: true}))", self.at(name), str(value))

    def open(self, name):
        self.run("arguments[0].open = true", self.at(name))

    def idle(self):
        return not self.shown("stop")

    def drawn(self):
        return self.run("return document.getElementById('picture').src") if self.shown("under") else None

    def draw(self, what):
        before = len(self.all("#made li"))
        self.at("go").click()
        check(what + ": drawn", wait(lambda: self.idle() and len(self.all("#made li")) > before, 60), self.text("problem"))

    def state(self, name):
        """A state of the page, looked at by axe-core at both widths in both themes."""
        for size in (WIDE, NARROW):
            for dark in (False, True):
                if not AXE and not SHOTS:
                    continue
                self.look(size, dark)
                where = f"{name}-{'wide' if size == WIDE else 'narrow'}-{'dark' if dark else 'light'}"
                check(f"{where}: nothing is cut off at the side", self.run("return document.documentElement.scrollWidth <= innerWidth"))
                if SHOTS:
                    self.driver.save_screenshot(f"{SHOTS}/{where}.png")
                if AXE:
                    found = self.driver.execute_async_script(AXE + """; const done = arguments[arguments.length - 1];
                        axe.run().then((r) => done(r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(" "))))""")
                    check(f"axe-core: {where}", not found, found)
        self.look(WIDE, False)

    def end(self):
        wrong = [line for line in self.driver.get_log("browser") if "favicon" not in line["message"] and "status of 4" not in line["message"]
                 and "Password forms" not in line["message"]]
        check("nothing goes wrong in the browser", not wrong, wrong)
        self.driver.quit()


def prompts(p):
    p.state("empty")
    p.put("prompt", "a (cat:1.3) [dark] <lora:x:1>")
    check("stressed words are listed", wait(lambda: [e.text for e in p.all("#stress li")] == ["cat ×1.30", "dark ×0.91"]), [e.text for e in p.all("#stress li")])
    marked = [(e.get_attribute("className"), e.get_attribute("textContent")) for e in p.all(".marks span")]
    check("and marked in the text", marked == [("more", "cat"), ("less", "dark"), ("aside", "<lora:x:1>")], marked)
    count = p.text("prompt-count")
    p.put("prompt", "a cat and a dog and a mouse")
    check("tokens are counted", wait(lambda: p.text("prompt-count") not in ("", count)) and p.text("prompt-count").startswith("8 / "), p.text("prompt-count"))
    p.put("prompt", "a cat")
    p.at("prompt").send_keys(Keys.CONTROL, Keys.ARROW_UP)
    check("the keyboard stresses", p.value("prompt") == "a (cat:1.1)", p.value("prompt"))
    p.at("prompt").send_keys(Keys.CONTROL, Keys.ARROW_DOWN)
    check("and takes it back", p.value("prompt") == "a cat", p.value("prompt"))
    p.run("document.activeElement.blur()")
    p.driver.find_element(By.TAG_NAME, "body").send_keys("/")
    check("/ goes to the prompt", p.driver.switch_to.active_element == p.at("prompt"))
    p.run("document.activeElement.blur()")
    p.driver.find_element(By.TAG_NAME, "body").send_keys("?")
    check("? lists the keys", p.shown("keys"))
    p.state("keys")
    p.at("keys").send_keys(Keys.ESCAPE)


def settings(p):
    check("the lists are filled", len(p.all("#sampler option")) > 10 and len(p.all("#schedule option")) > 5)
    shapes = p.all("#shapes button")
    shapes[1].click()
    check("a shape is a size", p.value("width") == "112" and p.value("height") == "160", [p.value("width"), p.value("height")])
    check("and is marked", shapes[1].get_attribute("aria-pressed") == "true")
    shapes[0].click()
    p.put("seed", 5)
    p.at("dice").click()
    check("dice: any seed", p.value("seed") == "")


def draws(p):
    p.put("prompt", CAT)
    p.put("seed", 42)
    p.put("steps", 60)
    p.run("""const [state, picture] = ["state", "picture"].map((id) => document.getElementById(id));
        window.told = [];
        window.grown = 0;
        new MutationObserver(() => window.told.push(state.textContent)).observe(state, { childList: true });
        new MutationObserver(() => window.grown += picture.classList.contains("preview")).observe(picture, { attributes: true })""")
    p.at("go").click()
    check("the picture grows", wait(lambda: p.run("return window.grown"), 20))
    p.state("drawing")
    check("it is drawn", wait(lambda: p.drawn(), 60) and "Seed: 42" in p.text("said"), p.text("problem"))
    check("how far it is was said", len([t for t in p.run("return window.told") if t.startswith("step ")]) > 2, p.run("return window.told"))
    first = p.drawn()
    check("it is a PNG", base64.b64decode(first.split(",")[1])[:4] == b"\x89PNG")
    check("screen readers hear what it is", p.at("picture").get_attribute("alt") == CAT)
    check("it has a caption", "seed 42" in p.text("caption") and "128 × 128" in p.text("caption"), p.text("caption"))
    p.state("drawn")
    return first


def waits(p):
    p.put("steps", 1000)
    p.put("count", 9)
    p.at("prompt").send_keys(Keys.CONTROL, Keys.ENTER)
    check("the keyboard draws", wait(lambda: not p.idle(), 5))
    p.put("steps", 4)
    p.put("count", 1)
    for seed in (1, 2):
        p.put("seed", seed)
        p.at("go").click()
    check("two wait", wait(lambda: len(p.all("#waiting li")) == 2))
    p.put("prompt", "(a wish that is too long for one line of the queue, and of the list of stressed words:1.2)")
    p.at("go").click()
    check("three wait", wait(lambda: len(p.all("#waiting li")) == 3 and "too long" in p.text("stress")))
    p.state("waiting")
    p.all("#waiting button")[2].click()
    p.all("#waiting button")[0].click()
    check("one is cancelled", len(p.all("#waiting li")) == 1)
    p.at("prompt").send_keys(Keys.ESCAPE)
    check("Escape stops, and the next is drawn", wait(lambda: p.idle() and "Seed: 2" in p.text("said"), 30), p.text("said"))


def uses_again(p, first):
    p.put("prompt", "something else")
    p.all("#made .open")[-1].click()
    check("used again", p.value("prompt") == CAT and p.value("steps") == "60" and p.value("seed") == "42", p.value("prompt"))
    p.draw("again")
    check("the same picture", p.drawn() == first)


def compares_and_deletes(p):
    made = p.all("#made li")
    count = len(made)
    ActionChains(p.driver).move_to_element(made[1]).perform()
    made[1].find_elements(By.CSS_SELECTOR, ".acts button")[0].click()
    check("two beside each other", p.shown("other") and p.shown("divide"))
    p.set("divide", 20)
    check("the slider divides them", p.run("return document.getElementById('easel').style.getPropertyValue('--divide')") == "20%")
    p.state("comparing")
    p.at("uncompare").click()
    check("and the comparison ends", not p.shown("other"))
    p.all("#made .open")[0].send_keys(Keys.ARROW_RIGHT)
    check("arrow keys go through the gallery", p.driver.switch_to.active_element == p.all("#made .open")[1])
    p.driver.switch_to.active_element.send_keys(Keys.DELETE)
    check("deleted", len(p.all("#made li")) == count - 1)
    p.at("toast").find_element(By.TAG_NAME, "button").click()
    check("and taken back", len(p.all("#made li")) == count)
    p.all("#made .open")[1].send_keys(Keys.DELETE)
    p.state("deleted")


def listens(p):
    p.all("#made .open")[0].click()
    p.at("listen").click()
    check("words are listened for", wait(lambda: p.shown("words"), 60), p.text("problem"))
    words = p.all("#words button")
    check("those of the prompt", [w.text for w in words] == ["smiling", "cat", "with", "heart-eyes"], [w.text for w in words])
    drawn = "const c = document.getElementById('heat'); return c.hidden ? '' : c.toDataURL()"
    first = p.run(drawn)
    words[1].click()
    check("each has its map", first and p.run(drawn) not in ("", first))
    p.state("words")
    words[1].click()
    p.run("document.activeElement.blur()")
    ActionChains(p.driver).move_to_element(p.at("caption")).perform()
    check("none is shown", not p.run(drawn))
    ActionChains(p.driver).move_to_element(words[0]).perform()
    check("hovering shows it", p.run(drawn) == first)
    words[3].send_keys("")
    p.run("arguments[0].focus()", words[3])
    check("so does focus", p.run(drawn) not in ("", first))
    p.at("listen").click()
    check("and ends", not p.shown("words") and not p.run(drawn))


def begins_with_a_picture(p, first):
    with tempfile.NamedTemporaryFile(suffix=".png") as f:
        f.write(base64.b64decode(first.split(",")[1]))
        f.flush()
        p.put("prompt", "")
        p.at("file").send_keys(f.name)
        check("it offers the settings of a picture", wait(lambda: p.shown("restore")))
    p.at("restore").click()
    check("it says so", p.text("state") == "its settings are in the form", p.text("state"))
    check("and takes them", p.value("prompt") == CAT and p.value("width") == "128" and p.value("seed") == "42", p.value("width"))
    p.put("steps", 8)
    p.draw("begun with")
    check("from the picture", "Denoising strength: 0.75" in p.text("said") and "Mask" not in p.text("said"), p.text("said"))
    p.run("arguments[0].scrollIntoView({block: 'center'})", p.at("mask"))
    ActionChains(p.driver).move_to_element(p.at("mask")).click_and_hold().move_by_offset(30, 10).release().perform()
    check("paint asks how", p.shown("inpaint") and p.at("mask-undo").is_enabled())
    p.state("mask")
    painted = "return document.getElementById('mask').getContext('2d').getImageData(0, 0, 128, 128).data.filter((v, i) => i % 4 == 3 && v).length"
    area = p.run(painted)
    p.at("erase").click()
    p.set("brush", 20)
    p.run("arguments[0].scrollIntoView({block: 'center'})", p.at("mask"))
    ActionChains(p.driver).move_to_element(p.at("mask")).click().perform()
    check("erased", 0 < p.run(painted) < area)
    p.at("mask-undo").click()
    check("undone", p.run(painted) == area)
    p.at("paint").click()
    p.at("mask").send_keys(Keys.ARROW_UP, Keys.ARROW_UP, Keys.SPACE)
    check("the keyboard paints", p.run(painted) > area)
    p.set("mask-blur", 6)
    p.set("fill", 0)
    p.draw("a part anew")
    check("as was asked", all(x in p.text("said") for x in ("Mask blur: 6", "Masked content: fill")), p.text("said"))
    p.at("only-masked").click()
    p.draw("the masked part alone")
    check("at full size", "Inpaint area: Only masked" in p.text("said"), p.text("said"))
    p.at("mask-clear").click()
    check("cleared", p.run(painted) == 0 and not p.shown("inpaint"))
    p.at("forget").click()
    check("removed", not p.shown("sketch"))
    p.at("begin-with").click()
    check("a picture of its own", wait(lambda: p.shown("sketch")))
    p.at("forget").click()
    p.run("""const data = new DataTransfer(); data.items.add(new File(["no picture"], "notes.txt", {type: "text/plain"}));
        for (const name of ["dragenter", "drop"]) document.body.dispatchEvent(new DragEvent(name, {dataTransfer: data, bubbles: true, cancelable: true}))""")
    check("what is no picture is refused", wait(lambda: "notes.txt" in p.text("problem")), p.text("problem"))
    p.run("""const data = new DataTransfer(), bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        data.items.add(new File([bytes], "cat.png", {type: "image/png"}));
        for (const name of ["dragenter", "drop"]) document.body.dispatchEvent(new DragEvent(name, {dataTransfer: data, bubbles: true, cancelable: true}))""",
          first.split(",")[1])
    check("a picture is dropped", wait(lambda: p.shown("restore")) and not p.text("problem"), p.text("problem"))
    p.at("forget").click()


def refuses(p):
    p.run("document.getElementById('wish').noValidate = true")
    p.put("width", 4096)
    p.put("height", 12)
    p.at("go").click()
    check("a refusal is said", wait(lambda: "12" in p.text("problem")), p.text("problem"))
    p.state("refused")
    p.all("#shapes button")[0].click()


def comes_back(p, server):
    """In this browser alone, where the server keeps no gallery."""
    p.at("keep").click()
    check("it keeps", wait(lambda: p.at("keep").is_enabled()))
    count = len(p.all("#made li"))
    p.driver.get(f"http://127.0.0.1:{server.port}/")
    check("kept in this browser, with the form", wait(lambda: len(p.all("#made li")) == count) and p.value("prompt") == CAT, len(p.all("#made li")))


def in_a_folder():
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile("w") as key:
        key.write("open sesame")
        key.flush()
        server = Server("--gallery", folder, "--api-key", key.name)
        p = Page(server, "open sesame")
        p.put("prompt", CAT)
        p.put("steps", 2)
        p.draw("kept")
        name = os.listdir(folder)
        check("as a file", len(name) == 1 and name[0].endswith(".png"), name)
        p.driver.refresh()
        check("it is there again", wait(lambda: len(p.all("#made li")) == 1))
        check("and seen", wait(lambda: p.run("return document.querySelector('#made img').naturalWidth") == 128))
        p.put("prompt", "other")
        p.all("#made .open")[0].click()
        check("with its settings", p.value("prompt") == CAT and p.value("steps") == "2", p.value("prompt"))
        p.all("#made .open")[0].send_keys(Keys.DELETE)
        p.driver.get("about:blank")
        check("deleted for good when the page is left", wait(lambda: not os.listdir(folder)), os.listdir(folder))
        p.end()
        server.stop()


def with_loras_and_control():
    """The small Stable Diffusion 1 of the goldens, which has both."""
    golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("kohya", "peft"):
            os.symlink(f"{os.path.abspath(golden)}/lora/{name}.safetensors", f"{folder}/{name}.safetensors")
        os.symlink(os.path.abspath(golden) + "/controlnet/sd1.safetensors", folder + "/tiny-control.safetensors")
        shapes = json.load(open(golden + "/adapters/shapes.json"))
        write_safetensors(folder + "/ip-adapter_sd15.safetensors", shapes["ip.sd1.base"])
        os.mkdir(folder + "/tower")
        write_safetensors(folder + "/tower/model.safetensors", shapes["vision"])
        open(folder + "/tower/config.json", "w").write('{"num_attention_heads": 2, "hidden_act": "gelu"}')
        server = Server("-m", golden + "/sd1/model.safetensors", "--lora-model-dir", folder, "--control-net-dir", folder,
                        "--clip-vision", folder + "/tower")
        p = Page(server)
        p.put("prompt", "a red fox")
        p.put("steps", 2)
        p.put("seed", 1)
        p.draw("without")
        plain = p.drawn()
        p.open("loras")
        p.at("lora-kohya").click()
        check("a LoRA goes into the prompt", p.value("prompt") == "a red fox <lora:kohya:1>", p.value("prompt"))
        p.run("const r = document.querySelector('[data-name=kohya] input[type=range]'); r.value = 0.5; r.dispatchEvent(new Event('input'))")
        check("with its weight", p.value("prompt") == "a red fox <lora:kohya:0.5>", p.value("prompt"))
        p.draw("with a LoRA")
        check("it changes the picture", p.drawn() != plain)
        p.put("prompt", "a red fox")
        check("the prompt is what counts", not p.at("lora-kohya").is_selected())
        p.open("control")
        picture = folder + "/edges.png"
        open(picture, "wb").write(base64.b64decode(plain.split(",")[1]))
        p.at("control-file").send_keys(picture)
        check("a picture to follow", wait(lambda: p.shown("control-set")))
        p.set("control-module", "canny")
        p.set("control-model", "tiny-control")
        p.state("control")
        p.draw("with a ControlNet")
        check("it is followed", "tiny-control" in p.text("said") and p.drawn() != plain, p.text("said"))
        p.at("control-forget").click()
        p.draw("without again")
        check("and not followed", p.drawn() == plain)
        check("each network in its own list", p.text("like-model") == "ip-adapter_sd15" and "ip-adapter" not in p.text("control-model"), p.text("control-model"))
        p.open("like")
        p.run("""const data = new DataTransfer(), bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
            data.items.add(new File([bytes], "cat.png", {type: "image/png"}));
            for (const name of ["dragenter", "drop"]) document.querySelector("#like .drop").dispatchEvent(new DragEvent(name, {dataTransfer: data, bubbles: true, cancelable: true}))""",
              plain.split(",")[1])
        check("a picture to look like is dropped in its place", wait(lambda: p.shown("like-set")) and not p.shown("sketch"), p.text("problem"))
        p.state("like")
        p.set("like-weight", 1)
        p.draw("with an IP-Adapter")
        liked = p.drawn()
        check("it is taken up", liked != plain)
        p.set("like-weight", 0)
        p.draw("with none of it")
        check("its strength counts", p.drawn() not in (liked,))
        p.at("like-forget").click()
        check("removed", not p.shown("like-set") and p.driver.switch_to.active_element == p.at("like-file"))
        p.end()
        server.stop()


def trains_words_and_controls(p):
    """Each kind asks for its own, and what it makes is drawn with."""
    p.set("train-kind", "embedding")
    check("a word asks for its own", p.all("#train-initializer_token") and not p.all("#train-network_dim") and not p.shown("train-follow"))
    check("and says what it is called", "cats-embedding" in p.text("train-word"), p.text("train-word"))
    p.state("train-word")
    p.put("train-initializer_token", "cat")
    p.put("train-max_train_steps", 2)
    p.at("train-go").click()
    check("a word is learned", wait(lambda: p.text("run-state") == "done", 60), p.text("train-problem") + p.text("run-said"))
    p.at("run-draw").click()
    check("and goes into the prompt", p.shown("wish") and p.value("prompt").endswith(" cats-embedding"), p.value("prompt"))
    p.all("#views button")[1].click()
    p.set("train-kind", "controlnet")
    check("a ControlNet asks what it follows", p.shown("train-follow") and p.value("train-hints") == "cats-edges", p.value("train-hints"))
    p.put("train-max_train_steps", 2)
    p.put("train-validation_prompts", "a cat")
    p.run("document.querySelector('#train-more [name=validation_inference_steps]').value = 1")
    p.at("train-go").click()
    check("it is trained", wait(lambda: p.text("run-name") == "cats · ControlNet" and p.text("run-state") == "done", 90), p.text("train-problem") + p.text("run-said"))
    check("with samples", wait(lambda: p.run("return document.querySelector('#run-samples img')?.naturalWidth == 256"), 10))
    p.state("trained")
    p.at("run-draw").click()
    check("and is there to draw with", wait(lambda: p.shown("control") and p.value("control-model") == "cats-controlnet"), p.value("control-model"))


def trains(first):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cats", "cats-edges"):
            os.mkdir(f"{folder}/{name}")
            open(f"{folder}/{name}/cat.png", "wb").write(base64.b64decode(first.split(",")[1]))
        server = Server("--training", folder)
        p = Page(server)
        train = p.all("#views button")[1]
        train.click()
        check("data sets", wait(lambda: "cats: 1 picture, no captions" in p.text("train-set")), p.text("train-set"))
        p.state("train")
        p.put("train-max_train_steps", "many")
        p.at("train-go").click()
        check("a refusal is said at its field", wait(lambda: any("many" in e.text for e in p.all("#train-max_train_steps-problem"))), p.text("train-problem"))
        check("in the field's words", p.text("train-max_train_steps-problem").startswith("Steps is 'many'"), p.text("train-max_train_steps-problem"))
        check("which has the focus", p.driver.switch_to.active_element == p.at("train-max_train_steps"))
        p.state("train-refused")
        p.put("train-max_train_steps", 100000)
        check("until it is changed", not p.all("#train-max_train_steps-problem"))
        p.put("train-instance_prompt", "a cat")
        p.put("train-validation_prompts", "a cat|a dog")
        p.run("""for (const [name, value] of [["validation_steps", 4], ["validation_inference_steps", 2]])
                document.querySelector(`#train-more [name=${name}]`).value = value""")
        p.at("train-go").click()
        check("its curve is drawn", wait(lambda: p.all("#run-curve polyline"), 60), p.text("train-problem"))
        check("its samples are shown", wait(lambda: p.run("return document.querySelector('#run-samples img')?.naturalWidth > 0"), 60))
        check("it says that drawing is slower", p.shown("train-shares") and not p.at("train-go").is_enabled())
        p.state("training")
        p.all("#views button")[0].click()
        p.put("prompt", CAT)
        p.put("steps", 2)
        p.draw("meanwhile")
        train.click()
        check("it goes on meanwhile", wait(lambda: p.shown("run-stop")), p.text("run-said"))
        p.at("run-stop").click()
        check("it stops, and can go on", wait(lambda: "can go on" in p.text("run-state") and p.text("train-go") == "Go on", 60), p.text("run-said"))
        before = int(p.text("run-step").split()[1])
        p.at("train-go").click()
        check("it goes on", wait(lambda: p.text("run-state") == "training" and int(p.text("run-step").split()[1]) > before, 60), p.text("run-step"))
        p.at("run-stop").click()
        check("it stops again", wait(lambda: "can go on" in p.text("run-state"), 60), p.text("run-said"))
        trains_words_and_controls(p)
        p.end()
        server.stop()


server = Server()
page = Page(server)
prompts(page)
settings(page)
picture = draws(page)
waits(page)
uses_again(page, picture)
compares_and_deletes(page)
listens(page)
begins_with_a_picture(page, picture)
refuses(page)
comes_back(page, server)
page.end()
server.stop()
in_a_folder()
with_loras_and_control()
trains(picture)
finish("page")
