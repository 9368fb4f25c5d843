"""Continues a text word by word: each word is one that follows the word before it in `story.txt`."""

import random
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

MAX_WORDS = 20


class TritonPythonModel:
    def initialize(self, args):
        version = Path(args["model_repository"]) / args["model_version"]
        words = (version / "story.txt").read_text(encoding="utf-8").split()
        self.words = words
        self.following = defaultdict(list)
        for word, following in pairwise(words):
            self.following[key(word)].append(following)

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for word in self.continuation(text_of(request), max_words_of(request)):
                output = pb_utils.Tensor("text_output", np.array([f" {word}"], dtype=np.object_))
                sender.send(pb_utils.InferenceResponse([output]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def continuation(self, text, max_words):
        choice = random.Random(text)  # the same text continues in the same way
        word = (text.split() or [""])[-1]
        for _ in range(max_words):
            word = choice.choice(self.following[key(word)] or self.words)
            yield word
            if word.endswith("."):
                return


def key(word):
    return re.sub(r"\W", "", word).lower()


def text_of(request):
    return pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy().flat[0].decode()


def max_words_of(request):
    tensor = pb_utils.get_input_tensor_by_name(request, "max_words")
    return MAX_WORDS if tensor is None else int(tensor.as_numpy().flat[0])
