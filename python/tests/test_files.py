"""Upscalers, model files, evaluation."""
import threading

import pytest

import sumi


def test_upscaler(goldens, photo, program, tmp_path):
    net = goldens / "upscale/compact_x2.safetensors"
    program("upscale", photo, "program.png", "-m", net, "--tile", 32)
    seen = []
    with sumi.Upscaler(net, threads=1) as upscaler:
        assert upscaler.scale == 2
        large = upscaler.upscale(photo, tile=32, progress=seen.append)
        assert (large.width, large.height) == (96, 64)
        assert large.pixels == sumi.Picture.read(tmp_path / "program.png").pixels
        assert seen[-1] == sumi.Step("upscale", 2, 2) and seen[0].step == 0
        drawn = []
        threads = [threading.Thread(target=lambda: drawn.append(upscaler.upscale(photo, tile=32))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert drawn == [large, large]
        cancel = sumi.Cancel()
        cancel.ask()
        with pytest.raises(sumi.Stopped):
            upscaler.upscale(photo, cancel=cancel)
        with pytest.raises(sumi.UsageError):
            upscaler.upscale(photo, tile=-1)
    with pytest.raises(sumi.UsageError, match="closed"):
        upscaler.upscale(photo)
    with pytest.raises(sumi.FileError):
        sumi.Upscaler(photo)


def test_model_files(tiny, photo, tmp_path):
    usable, report = sumi.info(tiny)
    assert usable and "parameters" in report
    with pytest.raises(sumi.FileError):
        sumi.info(tmp_path / "nowhere")
    assert len(sumi.hash(tiny)) == 64
    stages = set()
    sumi.convert(tiny, tmp_path / "half.safetensors", type="bf16", progress=lambda at: stages.add(at.stage))
    assert "write" in stages and sumi.info(tmp_path / "half.safetensors")[0]
    sumi.convert(tiny, str(tmp_path / "folder/"), layout="diffusers")
    assert (tmp_path / "folder/model_index.json").exists()
    with pytest.raises(sumi.UsageError, match="f12"):
        sumi.convert(tiny, tmp_path / "x.safetensors", type="f12")
    with pytest.raises(sumi.UsageError, match="nobody"):
        sumi.init("nobody", tmp_path / "x.safetensors")


def test_merge_and_extract(tiny, goldens, tmp_path):
    sumi.merge(tiny, tmp_path / "merged.safetensors", [f"{goldens / 'lora/kohya.safetensors'}:0.5"], type="f32")
    seen = set()
    try:
        report = sumi.extract_lora(tmp_path / "merged.safetensors", tiny, tmp_path / "lora.safetensors", rank=8,
            progress=lambda at: seen.add(at.stage))
    except sumi.Error as failure:
        if "LAPACK" not in str(failure):
            raise
        pytest.skip(str(failure))
    assert "%" in report and "extract" in seen and (tmp_path / "lora.safetensors").stat().st_size > 1000
    with pytest.raises(sumi.FileError, match="do not differ"):
        sumi.extract_lora(tiny, tiny, tmp_path / "nothing.safetensors")
    with pytest.raises(TypeError, match="did you mean 'rank'"):
        sumi.extract_lora(tiny, tiny, tmp_path / "nothing.safetensors", rnak=3)


def test_evaluation(tiny, photo, tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    for i in range(3):
        sumi.Picture(32, 32, bytes((j * (i + 3)) % 256 for j in range(32 * 32 * 3))).save(folder / f"{i}.png")
    (folder / "metadata.jsonl").write_text("".join(f'{{"file_name": "{i}.png", "text": "picture {i}"}}\n' for i in range(3)))
    with sumi.Model(tiny) as model:
        found = model.evaluate(folder, autoencoder=True)
    assert found.table and found.figures and found.grid is None
