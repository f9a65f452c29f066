"""Runs the commands whose numbers the README shows; writes what each printed to benchmarks/results/<name>.txt. Of
several commands, one after the other, it is what the last one printed.

TRANSFER_DATA=/path/to/data python benchmarks/claims/run.py [NAME ...]      (about half an hour on two cores)"""

import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
WEIGHTS = Path(os.environ.get("TRANSFER_DATA", "")) / "weights"
RESNET20 = WEIGHTS / "akamaster_pytorch_resnet_cifar10" / "resnet20-12fca82f.th"
SQUEEZENET = WEIGHTS / "songhan_SqueezeNet-Deep-Compression" / "squeezenet1_0_deepcomp_torchvision_keys.pth"
ANTS = Path(os.environ.get("TRANSFER_DATA", "")) / "hymenoptera_data"
DIGITS = "source=usps data=mnist model=lenet trainer=digits trainer.steps=1000 pretrain.trainer.steps=1500"
BAG = "trainer.optimizer=adamw trainer.lr=0.01 trainer.steps=400 trainer.batch=64"
TAGGER = (
    "model=bert_tiny model.input.tokenizer=bpe model.input.length=96 trainer.optimizer=adamw trainer.lr=0.001"
    " trainer.weight_decay=0.01 trainer.steps=800 trainer.batch=32 pretrain.trainer.steps=800 pretrain.trainer.batch=32"
)
# the students see pictures as the teacher does
STUDENTS = (
    "data=cifar10 model=conv4 model.filters=8,16 model.input.size=32 model.input.crop=32 model.input.channels=3"
    " model.input.mean=[0.485,0.456,0.406] model.input.std=[0.229,0.224,0.225] trainer.steps=1500 trainer.batch=128"
)
COMMANDS = {
    "hello": "transfer run experiment=hello",
    "usps": "transfer run strategy=scratch,linear_probe,fine_tune source=mnist data=usps data.shots=10 seed=0..2 -m",
    "forty_runs": "transfer run strategy=scratch,linear_probe,fine_tune,knn source=mnist data=usps data.shots=5,20"
    " --seeds 5",
    "forty_again": "transfer run strategy=scratch,linear_probe,fine_tune,knn source=mnist data=usps data.shots=5,20"
    " --seeds 5",
    "coral": "transfer run strategy=none,adabn,coral source=mnist data=usps seed=0..2 -m",
    "few_shot": "transfer run strategy=few_shot data=cifar10",
    "few_shot_untrained": "transfer run strategy=few_shot data=cifar10 pretrain=none",
    "resnet20": f"transfer run strategy=none data=cifar10 model=resnet20 weights={RESNET20}",
    "shakespeare": "transfer run experiment=shakespeare_char",
    "language": "transfer run experiment=language strategy=scratch,fine_tune data.shots=20,100,400 --seeds 3",
    "peft_pictures": "transfer run strategy=linear_probe,fine_tune,lora,adapter,bitfit data=cifar10 data.shots=50"
    " model.precision=fp32 pretrain.trainer.steps=600 pretrain.trainer.batch=64 trainer.steps=100 trainer.batch=64"
    " --seeds 3",
    "peft_texts": "transfer run strategy=linear_probe,fine_tune,lora,adapter,bitfit data=amazon_reviews"
    " data.domain=kitchen source=amazon_reviews source.domain=books model=bert_tiny data.shots=8"
    " trainer.optimizer=adamw trainer.lr=0.001 trainer.weight_decay=0.01 trainer.steps=60 trainer.batch=16"
    " pretrain.trainer.steps=600 pretrain.trainer.batch=32 --seeds 10",
    "blended": "transfer run strategy=source_only,dann source=mnist data=mnist data.shift=blended model=lenet"
    " model.input.channels=3 trainer=digits trainer.steps=2000 pretrain.trainer.steps=1500 --seeds 3",
    # ADDA whose net moves as fast as its discriminator
    "harm": f"transfer run strategy=source_only {DIGITS} --seeds 3"
    f" && transfer run strategy=adda {DIGITS} align.pace=1.0 --seeds 3"
    " && transfer compare data=mnist source=usps",
    "diabetes": "transfer run strategy=linear_probe,knn pretrain=none data=diabetes model=identity -m",
    "film_year": "transfer run strategy=scratch data=film_year model=embedding_bag trainer.optimizer=adamw"
    " trainer.lr=0.01 trainer.steps=400 trainer.batch=64 fine_tune.rule=target_val --seeds 3",
    "film_genres": "transfer run strategy=scratch,fine_tune source=film_year data=film_genres model=embedding_bag"
    f" {BAG} --seeds 3",
    "wnut17": f"transfer run strategy=scratch,fine_tune source=ncbi_disease data=wnut17 {TAGGER} --seeds 3",
    "ncbi_disease": f"transfer run strategy=scratch data=ncbi_disease {TAGGER} --seeds 3",
    "distill": f"transfer run strategy=scratch source=none {STUDENTS} --seeds 3"
    f" && transfer run strategy=scratch source=none fine_tune=distill fine_tune.teacher={RESNET20}"
    f" fine_tune.teacher_model=resnet20 {STUDENTS} --seeds 3"
    " && transfer compare data=cifar10 fine_tune=full,distill --baseline fine_tune=full",
    "marks": "transfer run strategy=fine_tune source=mnist data=usps data.shots=10 fine_tune.marks=5"
    " && transfer show last",
    "views": "transfer run strategy=scratch source=none data=mnist model=lenet trainer.steps=500"
    " 'evaluate.views=[fgsm,{attack: pgd, eps: 0.1},{classes: [[0,1,2,3,4],[5,6,7,8,9]]}]' && transfer show last",
    "ants": f"transfer run strategy=linear_probe data={ANTS} model=squeezenet1_0 weights={SQUEEZENET}",
}


def shown(command: str) -> str:
    """The command as the README has it: data where the reader keeps it."""
    return command.replace(os.environ.get("TRANSFER_DATA", "\0"), "$TRANSFER_DATA")


def main(names: list[str]) -> None:
    RESULTS.mkdir(exist_ok=True)
    script = Path(sys.executable).with_name("transfer")
    for name in names or COMMANDS:
        start = time.monotonic()
        for command in COMMANDS[name].split(" && "):
            done = subprocess.run(
                [script, *shlex.split(command)[1:], "--format", "table"],
                env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
        seconds = time.monotonic() - start
        head = "".join(f"$ {shown(command)}\n" for command in COMMANDS[name].split(" && "))
        tail = (
            f"# exit {done.returncode}, {seconds:.0f} s, {os.cpu_count()} cores, {platform.processor() or 'x86_64'}\n"
        )
        text = head + shown(done.stdout) + tail
        (RESULTS / f"{name}.txt").write_text(text)
        print(text, flush=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
