#!/usr/bin/env python3
"""scripts/calibration on text, pictures and clips that the test makes.

.venv-python/bin/python tests/scripts/calibration_test.py   exit code 77 (skipped): a package lacks
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import struct
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

try:
    import av
    import datasets
    import numpy as np
    from PIL import Image
    from tokenizers import Tokenizer, models, pre_tokenizers
except ImportError as error:
    print(f"skipped: {error}; scripts/setup --calibration installs it")
    sys.exit(77)

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/lib"))
import calibration  # noqa: E402
from calibrating import pixels  # noqa: E402
from tool import run_tool  # noqa: E402

WORDS = ["[UNK]", "<s>", "the", "dead", "direction", "of", "a", "norm"]


def read(file: Path) -> tuple[dict, dict, np.ndarray]:
    """Reads a safetensors file of one tensor without the code under test.

    Returns metadata, description and values.
    """
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    ((name, tensor),) = header.items()
    dtype = {"I32": "<i4", "F32": "<f4"}[tensor["dtype"]]
    return (
        metadata,
        tensor | {"name": name},
        np.frombuffer(data[8 + length :], dtype).reshape(tensor["shape"]),
    )


class CalibrationCase(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.out = self.folder / "made" / "m.safetensors"
        tokenizer = Tokenizer(
            models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(self.folder / "tokenizer.json"))

    def make(self, *arguments: object, code: int = 0) -> str:
        """As the program runs; returns what it said on standard error."""
        errors = io.StringIO()
        words = [str(word) for word in arguments]
        with (
            mock.patch("sys.argv", ["calibration.py", words[0], str(self.out), *words[1:]]),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(errors),
        ):
            try:
                run_tool(calibration.main)
                ended = 0
            except SystemExit as end:
                ended = end.code or 0
        self.assertEqual(ended, code, errors.getvalue())
        if code:
            self.assertFalse(self.out.exists())
        return errors.getvalue()

    def complaint(self, *arguments: object, code: int) -> str:
        line = self.make(*arguments, code=code)
        self.assertEqual(line.count("\n"), 1, line)
        return line

    def write_text(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def picture(self, name: str, colour=(255, 0, 0), size=(60, 40)) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(file)
        return file


class TextTest(CalibrationCase):
    def tokens(self, *more: object) -> tuple:
        return ("--tokenizer", self.folder / "tokenizer.json", *more)

    def test_cuts_running_text_into_whole_sequences(self):
        text = "the dead direction\nof a norm the dead\ndirection of a\n"
        file = self.write_text("a.txt", text)
        self.make("text", file, *self.tokens("--length", 4, "--sequences", 9))
        metadata, tensor, ids = read(self.out)
        self.assertEqual((tensor["name"], tensor["dtype"]), ("input_ids", "I32"))
        # the last two tokens make no whole sequence
        self.assertEqual(ids.tolist(), [[2, 3, 4, 5], [6, 7, 2, 3]])
        self.assertEqual(metadata["source"], "a.txt")
        self.assertEqual(metadata["sha256"], hashlib.sha256(text.encode()).hexdigest())
        self.assertEqual(len(metadata["tokenizer_sha256"]), 64)

    def test_reads_several_files_no_further_than_it_must(self):
        files = [
            self.write_text(name, "the dead direction of a norm\n" * 10)
            for name in ("a.txt", "b.txt", "c.txt")
        ]
        self.make("text", *files, *self.tokens("--length", 16, "--sequences", 5))
        self.assertEqual(read(self.out)[2].shape, (5, 16))
        self.assertNotEqual(
            read(self.out)[0]["sha256"],
            hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest(),
        )

    def test_puts_the_first_token_before_each_sequence(self):
        self.make(
            "text",
            self.write_text("a.txt", "the dead direction of a norm"),
            *self.tokens("--length", 4, "--bos", "<s>"),
        )
        self.assertEqual(read(self.out)[2].tolist(), [[1, 2, 3, 4], [1, 5, 6, 7]])
        self.out.unlink()
        self.assertIn(
            "--bos </s>",
            self.complaint("text", self.folder / "a.txt", *self.tokens("--bos", "</s>"), code=2),
        )

    def test_takes_wikitext_as_it_comes(self):
        def rows():
            yield {"text": "the dead direction\n"}
            yield {"text": ""}
            yield {"text": "of a norm\n"}
            raise AssertionError("read further than it must")

        with mock.patch.object(datasets, "load_dataset", return_value=rows()) as load:
            self.make("text", "--wikitext", *self.tokens("--length", 3, "--sequences", 2))
        self.assertEqual(load.call_args.args, ("Salesforce/wikitext", "wikitext-103-raw-v1"))
        self.assertEqual(read(self.out)[2].tolist(), [[2, 3, 4], [5, 6, 7]])

    def test_says_in_one_line_what_is_wrong(self):
        file = self.write_text("a.txt", "the dead\n")
        self.assertIn(
            "2 tokens, not one whole sequence of 512",
            self.complaint("text", file, *self.tokens(), code=3),
        )
        self.assertIn(
            "either text files or --wikitext", self.complaint("text", *self.tokens(), code=2)
        )
        self.assertIn(
            "none.txt: no such file",
            self.complaint("text", self.folder / "none.txt", *self.tokens(), code=2),
        )
        (self.folder / "b.txt").write_bytes(b"the \xff")
        self.assertIn(
            "not UTF-8 at byte 4",
            self.complaint("text", self.folder / "b.txt", *self.tokens(), code=3),
        )
        self.assertIn(
            "tokenizer.json",
            self.complaint("text", file, "--tokenizer", self.folder / "none.json", code=2),
        )
        self.assertIn(
            "not a tokenizer",
            self.complaint("text", file, "--tokenizer", self.write_text("t.json", "{}"), code=3),
        )
        with mock.patch.object(self, "out", self.folder / "m.npy"):
            self.assertIn(
                "m.npy: OUT must end in .safetensors",
                self.complaint("text", file, *self.tokens("--length", 2), code=2),
            )
        with mock.patch.object(datasets, "load_dataset", side_effect=ConnectionError("no\nroute")):
            self.assertIn(
                "no route; give files of your own",
                self.complaint("text", "--wikitext", *self.tokens(), code=5),
            )
        with mock.patch.object(datasets, "load_dataset", return_value=iter(lambda: 1 / 0, None)):
            self.assertIn(
                "give files of your own",
                self.complaint("text", "--wikitext", *self.tokens(), code=5),
            )


class PixelsTest(CalibrationCase):
    def test_prepares_a_picture_as_the_arithmetic_says(self):
        """A plain picture stays plain under any resize and cut.

        It is (1 - mean)/std in red and -mean/std elsewhere, to the rounding of float32.
        """
        self.picture("pictures/a.png")
        self.make("images", self.folder / "pictures", "--size", 14, "--count", 1)
        _, tensor, values = read(self.out)
        self.assertEqual(
            (tensor["name"], tensor["dtype"], values.shape), ("pixel_values", "F32", (1, 3, 14, 14))
        )
        for channel, (colour, mean, std) in enumerate(
            zip(
                (1, 0, 0),
                pixels.IMAGENET_MEAN,
                pixels.IMAGENET_STD,
                strict=True,
            )
        ):
            np.testing.assert_allclose(values[0, channel], (colour - mean) / std, rtol=1e-6)

    def test_cuts_out_the_centre(self):
        file = self.picture("pictures/a.png", (0, 0, 0), (90, 30))
        with Image.open(file) as image:
            image.paste((255, 255, 255), (30, 0, 60, 30))
            image.save(file)
        self.make(
            "images",
            self.folder / "pictures",
            "--size",
            30,
            "--resize",
            30,
            "--mean",
            0,
            0,
            0,
            "--std",
            1,
            1,
            1,
        )
        np.testing.assert_array_equal(read(self.out)[2], 1.0)

    def test_takes_pictures_evenly_from_a_sorted_folder(self):
        for i in range(10):
            self.picture(f"pictures/{i // 5}/{i}.png", (25 * i, 0, 0))
        self.make(
            "images",
            self.folder / "pictures",
            "--size",
            8,
            "--count",
            5,
            "--mean",
            0,
            0,
            0,
            "--std",
            1,
            1,
            1,
        )
        # float32 of n/255
        np.testing.assert_allclose(
            read(self.out)[2][:, 0, 0, 0] * 255, [0, 50, 100, 150, 200], atol=1e-4
        )

    def test_reads_the_models_own_preparation(self):
        self.picture("pictures/a.png")
        config = {
            "size": {"shortest_edge": 20},
            "crop_size": {"height": 16, "width": 16},
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "rescale_factor": 1 / 255,
        }
        self.make(
            "images",
            self.folder / "pictures",
            "--preprocessor",
            self.write_text("p.json", json.dumps(config)),
        )
        values = read(self.out)[2]
        self.assertEqual(values.shape, (1, 3, 16, 16))
        self.assertEqual((values[0, 0].min(), values[0, 2].max()), (1.0, -1.0))
        self.out.unlink()
        for change in (
            {"crop_size": {"height": 16, "width": 8}},
            {"image_mean": None},
            {"size": {"longest_edge": 9}},
            {"rescale_factor": 1},
        ):
            file = self.write_text("p.json", json.dumps(config | change))
            self.assertIn(
                "p.json",
                self.complaint("images", self.folder / "pictures", "--preprocessor", file, code=4),
            )

    def test_takes_imagenet_as_it_comes(self):
        rows = [{"image": Image.new("L", (40, 40), 255), "label": i} for i in range(5)]
        with mock.patch.object(datasets, "load_dataset", return_value=iter(rows)):
            self.make("images", "--imagenet", "--count", 3, "--size", 8)
        # grey pictures have three channels too
        self.assertEqual(read(self.out)[2].shape, (3, 3, 8, 8))

    def test_says_in_one_line_what_is_wrong_with_pictures(self):
        self.assertIn("no such folder", self.complaint("images", self.folder / "none", code=2))
        (self.folder / "empty").mkdir()
        self.assertIn("no pictures", self.complaint("images", self.folder / "empty", code=2))
        self.assertIn("either a folder or --imagenet", self.complaint("images", code=2))
        (self.folder / "bad").mkdir()
        (self.folder / "bad" / "a.png").write_text("<html>")
        self.assertIn(
            "a.png: not a picture",
            self.complaint("images", self.folder / "bad", "--count", 1, code=3),
        )
        self.assertIn(
            "--resize",
            self.complaint("images", self.folder / "bad", "--size", 30, "--resize", 20, code=2),
        )

    def test_stacks_frames_of_clips(self):
        for clip in ("one", "two"):
            for i in range(8):
                self.picture(f"clips/{clip}/{i:02}.png", (30 * i, 0, 0))
        self.picture("clips/short/00.png")
        said = self.make(
            "clips",
            self.folder / "clips",
            "--frames",
            4,
            "--size",
            8,
            "--count",
            3,
            "--mean",
            0,
            0,
            0,
            "--std",
            1,
            1,
            1,
        )
        _, tensor, values = read(self.out)
        self.assertEqual((tensor["name"], values.shape), ("pixel_values_videos", (2, 4, 3, 8, 8)))
        np.testing.assert_allclose(values[0, :, 0, 0, 0] * 255, [0, 60, 120, 180], atol=1e-4)
        self.assertIn("short: fewer than 4 frames", said)
        self.out.unlink()
        self.assertIn(
            "no clip of 9 frames",
            self.make(
                "clips", self.folder / "clips", "--frames", 9, "--size", 8, code=2
            ).splitlines()[-1],
        )

    def test_decodes_a_video_file(self):
        (self.folder / "clips").mkdir()
        with av.open(str(self.folder / "clips/a.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for i in range(12):
                frame = av.VideoFrame.from_image(
                    Image.new("RGB", (64, 48), (20 * i, 20 * i, 20 * i))
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        self.make(
            "clips",
            self.folder / "clips",
            "--frames",
            6,
            "--size",
            16,
            "--count",
            1,
            "--mean",
            0,
            0,
            0,
            "--std",
            1,
            1,
            1,
        )
        values = read(self.out)[2]
        self.assertEqual(values.shape, (1, 6, 3, 16, 16))
        # a lossy codec: every other frame, in order
        np.testing.assert_allclose(values[0, :, 1, 8, 8] * 255, [0, 40, 80, 120, 160, 200], atol=12)
        self.out.unlink()
        (self.folder / "clips/a.mp4").write_text("no video")
        self.assertIn(
            "a.mp4: not a video",
            self.complaint("clips", self.folder / "clips", "--frames", 6, code=3),
        )


if __name__ == "__main__":
    unittest.main(verbosity=2)
