"""page.py SUMI - drives the page of `sumi serve` in headless Chromium: type, draw, watch it grow, stop, use again, take a
picture's settings, paint a mask. Exits 77 where Chromium, its driver or selenium is not installed (`make test-page` installs
them)."""
import base64, json, os, re, shutil, subprocess, sys, tempfile, time

try:
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.chrome.service import Service
except ImportError:
    print("skipped: no selenium, which drives the browser")
    sys.exit(77)
driver = shutil.which("chromedriver")
if not driver or not (shutil.which("chromium") or shutil.which("google-chrome")):
    print("skipped: no Chromium with its driver")
    sys.exit(77)

log = tempfile.TemporaryFile("w+")
server = subprocess.Popen([sys.argv[1], "serve", "--listen", "127.0.0.1:0"], stderr=log)
failures = 0


def check(what, right, seen=""):
    global failures
    if not right:
        failures += 1
        print("FAILED:", what, str(seen)[:300])


def wait(condition, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


try:
    port = []
    def started():
        log.seek(0)
        port[:] = re.findall(r"http://127\.0\.0\.1:(\d+)", log.read())
        return port
    check("the server starts", wait(started))
    options = webdriver.ChromeOptions()
    for a in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(a)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    page = webdriver.Chrome(options=options, service=Service(driver))
    page.get(f"http://127.0.0.1:{port[0]}/")
    at = lambda name: page.find_element(By.ID, name)
    idle = lambda: at("go").is_enabled()
    def put(name, text):
        at(name).clear()
        at(name).send_keys(text)
    check("the lists are filled", wait(lambda: len(at("sampler").find_elements(By.TAG_NAME, "option")) > 10))
    put("prompt", "smiling cat with heart-eyes")
    put("seed", "42")
    put("steps", "40")
    at("go").click()
    check("the picture grows while it is drawn", wait(lambda: at("picture").is_displayed() and "preview" in at("picture").get_attribute("class"), 20))
    check("it is drawn", wait(idle) and "Seed: 42" in at("said").text, at("state").text)
    first = at("picture").get_attribute("src")
    check("it is a PNG", base64.b64decode(first.split(",")[1])[:4] == b"\x89PNG")
    put("steps", "1000")
    at("prompt").send_keys("\ue009\ue007")  # control and enter
    check("the keyboard draws", wait(lambda: not idle(), 5))
    wait(lambda: "step" in at("state").text, 20)
    at("stop").click()
    check("it stops", wait(idle, 20) and at("state").text == "stopped", at("state").text)
    put("prompt", "something else")
    at("made").find_element(By.TAG_NAME, "button").click()
    check("used again", at("prompt").get_attribute("value") == "smiling cat with heart-eyes" and at("steps").get_attribute("value") == "40")
    at("go").click()
    check("the same picture", wait(idle) and at("picture").get_attribute("src") == first)
    with tempfile.NamedTemporaryFile(suffix=".png") as f:
        f.write(base64.b64decode(first.split(",")[1]))
        f.flush()
        put("prompt", "")
        at("file").send_keys(f.name)
        check("it offers the settings of a picture", wait(lambda: at("restore").is_displayed(), 20))
    at("restore").click()
    check("and takes them", at("prompt").get_attribute("value") == "smiling cat with heart-eyes" and at("width").get_attribute("value") == "128")
    ActionChains(page).move_to_element(at("mask")).click_and_hold().move_by_offset(20, 10).release().perform()
    put("steps", "8")
    at("go").click()
    check("a part is painted anew", wait(idle) and at("state").text == "" and at("picture").get_attribute("src") != first, at("state").text)
    put("steps", "8")
    put("width", "4096")
    put("height", "12")
    page.execute_script("document.getElementById('wish').noValidate = true")
    at("go").click()
    check("a refusal is said", wait(idle) and "12" in at("state").text, at("state").text)
    wrong = [line for line in page.get_log("browser") if "favicon" not in line["message"] and "status of 4" not in line["message"]]
    check("nothing goes wrong in the browser", not wrong, wrong)
    page.quit()
finally:
    server.terminate()
    server.wait(30)
print("page:", "fine" if not failures else f"{failures} failures")
sys.exit(failures > 0)
