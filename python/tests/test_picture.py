"""Pictures: files, Pillow, NumPy, parameters."""
import pytest

import sumi


@pytest.fixture
def picture():
    return sumi.Picture(3, 2, bytes(range(18)), seed=9, parameters="a fox\nSteps: 4, Sampler: Euler, Seed: 9, Size: 3x2")


def test_files(picture, tmp_path):
    for name in ("x.png", "x.webp", "x.jpg"):
        picture.save(tmp_path / name)
        again = sumi.Picture.read(tmp_path / name)
        assert (again.width, again.height, again.parameters) == (3, 2, picture.parameters)
        assert sumi.Picture.decode((tmp_path / name).read_bytes()) == again
    assert sumi.Picture.read(tmp_path / "x.png").pixels == picture.pixels
    assert sumi.parameters_of(tmp_path / "x.png") == picture.parameters
    assert sumi.Picture.decode(picture.encode("webp", 100)).pixels == picture.pixels
    assert len(picture.encode("jpeg", 10)) < len(picture.encode("jpeg", 100))
    assert picture._repr_png_() == (tmp_path / "x.png").read_bytes()
    assert sumi.read_parameters(picture.parameters)["Sampler"] == "Euler"
    assert sumi.read_parameters(picture.parameters)["Prompt"] == "a fox"
    assert repr(picture) == "<sumi.Picture 3 × 2, seed 9>"


def test_refusals(picture, tmp_path):
    with pytest.raises(sumi.UsageError, match="18 bytes, not 17"):
        sumi.Picture(3, 2, bytes(17))
    with pytest.raises(sumi.UsageError, match="alpha has 5"):
        sumi.Picture(3, 2, bytes(18), bytes(5))
    with pytest.raises(sumi.UsageError):
        sumi.Picture(0, 2, b"")
    with pytest.raises(sumi.UsageError, match="gif"):
        picture.encode("gif")
    with pytest.raises(sumi.FileError):
        sumi.Picture.decode(b"no picture")
    with pytest.raises(sumi.FileError, match="file/x.png"):
        (tmp_path / "file").touch()
        picture.save(tmp_path / "file/x.png")
    with pytest.raises(sumi.FileError):
        sumi.read_parameters("")


def test_pillow(picture, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    image = picture.to_pil()
    assert image.mode == "RGB" and image.tobytes() == picture.pixels
    assert sumi.Picture.from_pil(image) == sumi.Picture(3, 2, picture.pixels, parameters=picture.parameters)
    clear = sumi.Picture(3, 2, picture.pixels, bytes([0, 50, 100, 150, 200, 255]))
    assert clear.to_pil().mode == "RGBA" and clear.to_pil().getchannel("A").tobytes() == clear.alpha
    picture.save(tmp_path / "x.png")
    for mode in ("L", "P", "RGBA", "LA", "CMYK", "1"):
        image = Image.open(tmp_path / "x.png").convert(mode)
        assert sumi.Picture.of(image).pixels == image.convert("RGB").tobytes()
    red = sumi.Picture.from_pil(Image.new("RGBA", (1, 1), (255, 0, 0, 128)))
    assert red.pixels == bytes([255, 127, 127]) and red.alpha == bytes([128])


def test_numpy(picture):
    np = pytest.importorskip("numpy")
    array = picture.numpy()
    assert array.shape == (2, 3, 3) and array.dtype == np.uint8 and array[1, 0, 2] == 11
    array[0, 0] = 255  # its own memory
    assert picture.pixels[0] == 0
    assert sumi.Picture.of(picture.numpy()) == sumi.Picture(3, 2, picture.pixels)
    assert sumi.Picture.from_numpy(picture.numpy()[:, ::-1]).pixels[:3] == picture.pixels[6:9]
    assert sumi.Picture.from_numpy(np.array([[True, False]])).pixels == b"\xff\xff\xff\0\0\0"
    assert sumi.Picture.from_numpy(np.array([[7]], np.uint8)).pixels == b"\x07\x07\x07"
    rgba = np.array([[[255, 0, 0, 128]]], np.uint8)
    pillow = pytest.importorskip("PIL.Image")
    assert sumi.Picture.from_numpy(rgba) == sumi.Picture.from_pil(pillow.fromarray(rgba))
    for wrong in (np.zeros((2, 3, 3)), np.zeros((2, 3, 2), np.uint8), np.zeros(3, np.uint8)):
        with pytest.raises(sumi.UsageError, match="expected uint8"):
            sumi.Picture.from_numpy(wrong)


def test_sizes_and_edges(photo):
    read = sumi.Picture.read(photo)
    small = read.resize(24, 16)
    assert (small.width, small.height) == (24, 16) and small.pixels != read.pixels
    Image = pytest.importorskip("PIL.Image")
    assert sumi.Picture.from_pil(Image.open(photo).resize((24, 16), Image.LANCZOS)).pixels == small.pixels
    square = sumi.Picture(32, 32, b"".join(b"\xff\xff\xff" if 8 <= i % 32 < 24 and 8 <= i // 32 < 24 else b"\0\0\0" for i in range(1024)))
    edges = square.edges()
    assert set(edges.pixels) == {0, 255} and edges.pixels.count(255) < 3 * 200
    with pytest.raises(sumi.UsageError, match="smaller first"):
        square.edges(5, 1)


def test_grid(picture):
    whole = sumi.grid([picture, picture, picture], 2, gap=1)
    assert (whole.width, whole.height) == (7, 5) and whole.pixels[:9] == picture.pixels[:9]
    assert whole.pixels[9:12] == b"\xff\xff\xff"
    with pytest.raises(sumi.UsageError):
        sumi.grid([], 2)


@pytest.mark.filterwarnings("ignore::sumi.SumiWarning")
def test_a_picture_is_an_option_in_any_form(tiny, photo):
    Image = pytest.importorskip("PIL.Image")
    pytest.importorskip("numpy")
    with sumi.Model(tiny) as model, model.session() as session:
        short = {"width": 32, "height": 32, "steps": 2}
        read = sumi.Picture.read(photo)
        drawn = {session.generate("x", init=init, **short).pixels
            for init in (photo, str(photo), read, Image.open(photo), read.numpy())}
        assert len(drawn) == 1
        mask = read.numpy()[:, :, 0] > 100
        assert session.generate("x", init=photo, mask=mask, **short).pixels not in drawn
