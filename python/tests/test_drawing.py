"""Models, sessions, batches, streams; and what goes wrong."""
import gc
import signal
import threading
import time
import warnings
import weakref

import pytest

import sumi

SHORT = {"steps": 3, "width": 64, "height": 64}


def test_the_programs_bytes(session, program, tmp_path):
    program("generate", "-p", "smiling cat with heart-eyes", "-o", "program.png", "--seed", 7)
    session.generate("smiling cat with heart-eyes", seed=7, hashes=True).save(tmp_path / "package.png")
    assert (tmp_path / "package.png").read_bytes() == (tmp_path / "program.png").read_bytes()


def test_options_reach_the_library(tiny, program, photo, tmp_path):
    program("generate", "-m", tiny, "-p", "a fox", "-n", "grass", "-W", 64, "-H", 32, "--steps", 3, "--cfg-scale", 3.5,
        "--sampling-method", "dpm++2m", "--scheduler", "karras", "--init-img", photo,
        "--resize-mode", "crop", "--strength", 0.5, "-o", "program.png")
    with sumi.Model(tiny, threads=1) as model:
        picture = model.generate("a fox", negative_prompt="grass", width=64, height=32, steps=3, guidance=3.5,
            resize_mode="crop", sampler="dpm++2m", schedule="karras", init=photo, strength=0.5)
    assert picture.pixels == sumi.Picture.read(tmp_path / "program.png").pixels
    assert picture.parameters and "DPM++ 2M" in picture.parameters and picture.seed == 42


def test_the_model(emoji):
    assert emoji.size == (128, 128) and emoji.family
    assert "DDIM" in sumi.samplers() and "f32" in sumi.types() and len(sumi.families()) > 5
    assert sumi.schedules() and sumi.guidances() and sumi.devices() and sumi.version() == sumi.__version__


def test_batch_is_its_pictures(session):
    alone = [session.generate(prompt, seed=seed, **SHORT) for prompt, seed in (("dog", 1), ("cat", 2))]
    assert session.batch(["dog", "cat"], seeds=[1, 2], **SHORT) == alone
    same = session.batch("dog", seeds=[1, 5, 6], **SHORT)
    assert same[0] == alone[0] and len({p.pixels for p in same}) == 3
    own = session.batch([{"prompt": "dog", "seed": 1}, {"prompt": "dog", "width": 128}], **SHORT)
    assert own[0] == alone[0] and (own[1].width, own[1].height) == (128, 64)
    assert session.at_once(**SHORT) > 1 and session.bytes_kept > 0
    session.trim()
    assert session.bytes_kept == 0
    with pytest.raises(sumi.UsageError, match="2 prompts and 1 seeds"):
        session.batch(["a", "b"], seeds=[1])
    with pytest.raises(sumi.UsageError, match="no prompts"):
        session.batch([])


def test_stream(session):
    alone = session.generate("dog", **SHORT)
    with session.stream("dog", **SHORT) as steps:
        seen = list(steps)
    denoised = [s for s in seen if s.stage == "denoise"]
    assert [(s.step, s.steps) for s in denoised] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [s.preview is not None for s in denoised] == [False, True, True, False]
    assert (denoised[1].preview.width, denoised[1].preview.height) == (8, 8)
    assert denoised[1].preview != denoised[2].preview
    assert steps.picture == alone and steps.pictures == [alone]
    with session.stream(["dog", "cat"], seeds=[1, 2], preview="decoder", **SHORT) as steps:
        first = next(s for s in steps if s.previews)
        assert sorted(first.previews) == [0, 1] and first.previews[1].width == 64
        assert len(steps.pictures) == 2
    with session.stream("dog", previews=False, **SHORT) as steps:
        assert not any(s.previews for s in steps)


def test_a_stream_that_is_left_stops(session):
    with session.stream("dog", steps=10000, width=64, height=64) as steps:
        for step in steps:
            if step.step == 2:
                with pytest.raises(sumi.UsageError, match="session is at work"):
                    session.generate("cat", **SHORT)
                with pytest.raises(sumi.UsageError, match="cannot be closed"):
                    session.close()
                break
    with pytest.raises(sumi.Stopped):
        steps.picture
    dropped = session.stream("dog", steps=10000, width=64, height=64)
    thread = dropped._thread
    del dropped
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()
    assert session.generate("dog", **SHORT)


def test_a_stream_fails_as_a_call(session):
    with session.stream("dog", steps=0) as steps:
        with pytest.raises(sumi.UsageError, match="steps"):
            for _ in steps:
                pass
        with pytest.raises(sumi.UsageError, match="steps"):
            steps.picture


def test_cancel(session):
    cancel = sumi.Cancel()
    with pytest.raises(sumi.Stopped) as stopped:
        session.generate("dog", steps=10000, cancel=cancel, progress=lambda at: at.step == 2 and cancel.ask())
    assert cancel.asked and stopped.value.status == 130
    with pytest.raises(sumi.Stopped):
        session.generate("dog", cancel=cancel, **SHORT)
    other = sumi.Cancel()
    threading.Timer(0.2, other.ask).start()
    with pytest.raises(sumi.Stopped):
        session.generate("dog", steps=10000, cancel=other)


def test_what_a_listener_raises_comes_out(session):
    def raising(at):
        if at.stage == "denoise" and at.step == 1:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        session.generate("dog", progress=raising, steps=10000)

    def interrupting(at):
        if at.stage == "denoise" and at.step == 1:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0)

    with pytest.raises(KeyboardInterrupt):
        session.generate("dog", progress=interrupting, steps=10000)
    assert session.generate("dog", **SHORT)


def test_interrupted_without_a_listener(session):
    """Ctrl-C at any moment, most of all as a function of the package's own listener begins, is a KeyboardInterrupt."""
    for wait in (0.05, 0.1, 0.15, 0.2):
        threading.Timer(wait, signal.raise_signal, [signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            session.generate("dog", steps=10000)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert session.generate("dog", **SHORT)


def test_sessions_in_threads(emoji, session):
    expected = session.generate("dog", **SHORT)
    drawn, counted = [], 0

    def draw():
        with emoji.session() as own:
            drawn.extend(own.generate("dog", **SHORT) for _ in range(3))

    threads = [threading.Thread(target=draw) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counted += 1  # the interpreter's lock is free
        time.sleep(0.001)
    assert drawn == [expected] * 9 and counted > 10


def test_errors_by_kind(session, tiny, tmp_path):
    for options, message in (({"steps": -1}, "steps"), ({"width": 63}, "63"), ({"sampler": "nobody"}, "nobody"),
            ({"steps": 2**40}, "steps is 1099511627776"), ({"negative_prompt": "a\0b"}, "null character")):
        with pytest.raises(sumi.UsageError, match=message):
            session.generate("dog", **options)
    for options, message in (({"stepz": 3}, "did you mean 'steps'"), ({"steps": 2.5}, "a whole number"),
            ({"guidance": "x"}, "a number"), ({"hashes": "no"}, "True or False"), ({"init": 3}, "not a picture"),
            ({"sampler": 3}, "a str or a path"), ({"controls": {"path": "x"}}, "a list"), ({"control_count": 1}, "no option")):
        with pytest.raises(TypeError, match=message):
            session.generate("dog", **options)
    with pytest.raises(sumi.FileError, match="nowhere.safetensors") as missing:
        sumi.Model(tmp_path / "nowhere.safetensors")
    assert missing.value.status == 3 and isinstance(missing.value, sumi.Error)
    with pytest.raises(ValueError):
        sumi.Model(tiny, type="f12")
    with sumi.Model(tiny, max_memory=1 << 20) as small:
        with pytest.raises(MemoryError):
            small.generate("dog", width=512, height=512)


def test_notes_are_warnings(tiny, photo, caplog):
    with sumi.Model(tiny) as model, model.session() as session:
        with pytest.warns(sumi.SumiWarning, match="48×32") as seen:
            model.generate("dog", steps=1, width=32, height=32, init=photo)
        assert seen[0].filename == __file__
        with pytest.warns(sumi.SumiWarning, match="48×32") as seen:
            list(session.stream("dog", steps=1, width=32, height=32, init=photo))
        assert seen[0].filename == __file__
        with warnings.catch_warnings(), pytest.raises(sumi.SumiWarning):
            warnings.simplefilter("error")
            model.generate("dog", steps=10000, width=32, height=32, init=photo)
        with caplog.at_level("DEBUG", "sumi"):
            model.generate("dog", steps=1, width=32, height=32)
        assert caplog.records


def test_after_close(tiny):
    model = sumi.Model(tiny)
    session = model.session()
    session.generate("dog", steps=1, width=32, height=32)
    model.close()
    model.close()
    for use in (lambda: session.generate("dog"), lambda: model.generate("dog"), model.session, lambda: model.size,
            lambda: session.bytes_kept):
        with pytest.raises(sumi.UsageError, match="closed"):
            use()
    session.close()


def test_a_session_keeps_its_model(tiny):
    model = sumi.Model(tiny)
    handle = weakref.ref(model._handle)
    session = model.session()
    del model
    gc.collect()
    assert session.generate("dog", steps=1, width=32, height=32)
    session.loop = session  # freed by the collector, in an order of its own
    del session
    gc.collect()
    assert handle() is None


def test_attention(session):
    plain = session.generate("smiling cat", **SHORT)
    heard = session.generate("smiling cat", attention_words=["cat", "smiling"], **SHORT)
    assert heard.pixels == plain.pixels and plain.attention is None
    assert (heard.attention.count, heard.attention.height, heard.attention.width) == (2, 8, 8)
    over = heard.attention_over(1)
    assert over.width == 64 and over.pixels != heard.pixels != heard.attention_over(0).pixels
    with pytest.raises(sumi.UsageError):
        heard.attention_over(2)
    np = pytest.importorskip("numpy")
    maps = heard.attention.numpy()
    assert maps.shape == (2, 8, 8) and maps.dtype == np.float32 and 0 <= maps.min() < maps.max() <= 1


def test_prompts_are_read(emoji):
    read = emoji.read_prompt("a (smiling:1.5) cat")
    assert [part.strip() for part, _ in read.parts] == ["a", "smiling", "cat"] and read.parts[1][1] == 1.5
    assert 2 < read.tokens < read.room


@pytest.mark.filterwarnings("ignore::sumi.SumiWarning")
def test_control(tiny, goldens, program, photo, tmp_path):
    net = goldens / "controlnet/sd1.safetensors"
    program("generate", "-m", tiny, "-p", "dog", "-W", 64, "-H", 64, "--steps", 2, "--control-net", f"{net}:0.5:0:0.8",
        "--control-image", photo, "-o", "program.png")
    with sumi.Model(tiny) as model, model.session() as session:
        control = sumi.Control(path=net, image=sumi.Picture.read(photo), strength=0.5, from_=0, to=0.8)
        picture = session.generate("dog", width=64, height=64, steps=2, controls=[control])
        plain = session.generate("dog", width=64, height=64, steps=2)
    assert picture.pixels == sumi.Picture.read(tmp_path / "program.png").pixels != plain.pixels


def test_latents(session):
    with session.stream("dog", latents=True, previews=False, **SHORT) as steps:
        seen = [s for s in steps if s.latents]
    assert [(s.stage, s.step) for s in seen] == [("denoise", i) for i in range(4)] and not seen[0].previews
    first, last = seen[0].latents[0], seen[-1].latents[0]
    assert first.clean is None and first.time > 900 and last.clean == last.noisy
    assert (last.height, last.width) == (8, 8) and (last.time, last.noise) == (0, 0)
    np = pytest.importorskip("numpy")
    assert last.numpy().shape == (8, 8, last.channels) and last.numpy().dtype == np.float32
    assert np.array_equal(last.numpy(), last.numpy(clean=True)) and 0.8 < first.numpy().std() < 1.2
    with pytest.raises(sumi.UsageError, match="before the first step"):
        first.numpy(clean=True)


def test_what_a_model_makes_of_words(emoji):
    assert [t.text for t in emoji.tokens("smiling cat")] == ["smiling", "cat"] and emoji.tokens("cat")[0].encoder == 0
    dumped = emoji.dump("decode", width=64, height=64)
    assert "conv" in dumped and len(dumped.splitlines()) > 20
    with pytest.raises(sumi.UsageError, match="paint"):
        emoji.dump("paint")


def test_ip_adapters_reach_the_library(session, photo):
    like = sumi.IpAdapter(path="nowhere.safetensors", vision="tower.safetensors", image=photo, strength=0.8, to=0.5)
    with pytest.raises(sumi.FileError, match="nowhere.safetensors"):
        session.generate("a fox", ip_adapters=[like], **SHORT)
    with pytest.raises(TypeError, match="did you mean 'strength'"):
        session.generate("a fox", ip_adapters=[{"strenght": 1}], **SHORT)
