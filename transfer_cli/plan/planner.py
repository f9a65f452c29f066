"""Turns a checked configuration into a plan: method, data, net and key of each stage. A fold over the stages: each is
planned from a constant context and the state after the previous stage."""

from functools import partial, reduce
from pathlib import Path

from transfer_cli.config.compose import Config
from transfer_cli.plan.begin import Opened as Opened
from transfer_cli.plan.begin import begin
from transfer_cli.plan.context import Context, State
from transfer_cli.plan.evaluate_stage import plan_evaluation
from transfer_cli.plan.plan import Plan, stamps_of
from transfer_cli.plan.train_stage import plan_slot


def plan(config: Config, *, runs: Path, opened: Opened | None = None) -> Plan:
    """The plan of one run. Raises ConfigError, DataError or StoreError for every error that can be detected before
    training. Several plans can share data sets through `opened`, which is filled here."""
    context, first, stamps = begin(config, runs, {} if opened is None else opened)
    last = reduce(partial(_planned, context), context.values["stages"], first)
    watched = stamps | stamps_of(last.files)
    return Plan(config, context.values, last.stages, context.target, context.source, context.weights, watched)


def _planned(context: Context, state: State, name: str) -> State:
    return plan_evaluation(context, state) if name == "evaluate" else plan_slot(context, state, name)
