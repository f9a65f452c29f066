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
