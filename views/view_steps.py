"""The verbs of a view: each returns a new view with one more step, and checks what it is given at once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.engine import Engine
from foldstore.errors import UsageError
from foldstore.views.arguments import check_list
from foldstore.views.combination import Inputs, Union, make_blend, make_union
from foldstore.views.nested import is_list
from foldstore.views.rows.rows import endless
from foldstore.views.rule import EVERY_SOURCE, Rule, find_inputs, read_rules
from foldstore.views.steps.elements import make_keep_elements, quote
from foldstore.views.steps.explode import make_explode
from foldstore.views.steps.limit import make_limit
from foldstore.views.steps.mapping import KEEP, make_enumerate, make_map
from foldstore.views.steps.order import (
    BLOCKS,
    BUFFER_ROWS,
    AnyStep,
    SequenceRules,
    make_order_by,
    make_repeat,
    make_sample,
    make_sequences,
    make_shuffle,
)
from foldstore.views.steps.select import make_select
from foldstore.views.steps.where import join_conditions, make_where, make_where_elements

if TYPE_CHECKING:
    from foldstore.views.view import View

_MOST_STRATA = 1_000


class ViewSteps:
    """What can be done to the rows and columns of a view.

    Steps apply in the order written: ``limit(10).where(...)`` filters the first ten rows, while
    ``where(...).limit(10)`` gives the first ten that pass.
    """

    __slots__ = ()

    _engine: Engine
    _inputs: Inputs
    _steps: tuple[AnyStep, ...]

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        raise NotImplementedError

    @property
    def shown_inputs(self) -> str:
        """What the view reads, for messages."""
        return self._inputs.shown

    @property
    def is_endless(self) -> bool:
        """Whether the rows never end."""
        raise NotImplementedError

    def _with(self, step: AnyStep) -> Self:
        raise NotImplementedError

    def _over(self, inputs: Inputs) -> "View":
        raise NotImplementedError

    def where(self, predicate: str) -> Self:
        """Keep the rows for which an SQL condition is true; null counts as not true.

        Repeated calls narrow further, one after the other.

        Raises
        ------
        InvalidExpressionError
            When the condition does not parse, is not boolean, or looks at anything but its row.
        ColumnNotFoundError
            When it names a column that is not there.
        """
        return self._with(make_where(self._engine, predicate, self.arrow_schema, self.shown_inputs))

    def where_any(self, *rules: "str | Rule") -> "View":
        """Keep the rows for which at least one condition is true.

        Parameters
        ----------
        *rules : str or Rule
            Conditions; a `Rule` may speak of one input of a view that was made of several.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("cities").append({"city": ["Oslo", "Bern", "Rome"], "people": [709, 134, 2_873]})
        >>> store.view("cities").where_any("people < 200", "people > 2000").to_arrow()["city"].to_pylist()
        ['Bern', 'Rome']
        """
        given = read_rules(rules)
        if all(rule.source == EVERY_SOURCE for rule in given):
            if any(rule.where is None for rule in given):
                return self  # type: ignore[return-value]  # a rule without a condition lets every row through
            texts = [rule.where or "" for rule in given]
            joined = join_conditions(self._engine, texts, self.arrow_schema, self.shown_inputs)
            return self.where(joined)  # type: ignore[return-value]  # a mixin of View
        views = self._inputs_apart("where_any")
        for rule in given:
            find_inputs(rule, views)
        kept = [_any_of(view, [rule for rule in given if rule.speaks_of(view)]) for view in views]
        return self._over(make_union(kept, self._columns_rule()))

    def where_elements(self, column: str, condition: str, *, at_least: int = 1, at_most: int | None = None) -> Self:
        """Keep the rows in which so many elements of a list meet a condition.

        Parameters
        ----------
        column : str
            The list.
        condition : str
            On one element, which is called ``element``: ``element.label = 'car' AND element.conf > 0.8``.
        at_least, at_most : int
            How many must meet it; ``at_least=0, at_most=0``: none may.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> frames = store.create_dataset("frames").append({"id": [1, 2, 3], "boxes": [["car", "cat"], ["car"], []]})
        >>> frames.view().where_elements("boxes", "element = 'car'").to_arrow()["id"].to_pylist()
        [1, 2]
        >>> frames.view().where_elements("boxes", "element = 'cat'", at_least=0, at_most=0).count()
        2
        """
        counts = (at_least, at_most)
        step = make_where_elements(self._engine, column, condition, counts, self.arrow_schema, self.shown_inputs)
        return self._with(step)

    def keep_elements(self, column: str, condition: str) -> Self:
        """Keep the elements of a list that meet a condition; the rows stay, also those whose list becomes empty."""
        return self._with(make_keep_elements(self._engine, column, condition, self.arrow_schema, self.shown_inputs))

    def select(self, /, *columns: str, **expressions: str) -> Self:
        """Keep columns, in this order, and compute others by SQL expressions over the columns so far.

        A dot reaches into a struct, or into the structs of a list: ``select("person.age", "boxes.label")``.
        """
        return self._with(make_select(self._engine, columns, expressions, self.arrow_schema, self.shown_inputs))

    def map(self, column: str, values: Any, *, default: Any = KEEP, into: str | None = None) -> Self:
        """Give values other values: in a column, in a field of it (``boxes.label``), in each element of a list.

        Conditions that were written before see the old values.

        Parameters
        ----------
        column : str
            The column or field.
        values : mapping or list of pairs
            What each value becomes. Several labels, as ``("car", "hidden")``, speak of a list that has all of them:
            it becomes the list of the new value alone.
        default : object
            What other values become; they stay unless given.
        into : str, optional
            A new column for the result; it replaces the old values unless given.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> view = store.create_dataset("ways").append({"kind": ["lane", "road", "canal"]}).view()
        >>> view.map("kind", {"lane": "street", "road": "street"}, default="other").to_arrow()["kind"].to_pylist()
        ['street', 'street', 'other']
        """
        return self._with(make_map(column, values, default, into, self.arrow_schema, self.shown_inputs))

    def enumerate(self, column: str, labels: Any = None, *, default: int = -1, into: str | None = None) -> Self:
        """Give labels numbers, for models that want them.

        Parameters
        ----------
        column : str
            The column or field.
        labels : mapping of str to int, optional
            The number of each label; several labels may share one. Unless given, all values of the column in their
            order, which is looked up now and kept in the view.
        default : int
            What every other value gets, null too.
        into : str, optional
            A new column for the numbers.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> view = store.create_dataset("pets").append({"pet": ["dog", "cat", None, "dog"]}).view()
        >>> view.enumerate("pet", into="number").to_arrow()["number"].to_pylist()
        [1, 0, -1, 1]
        """
        if labels is None:
            labels = {value: number for number, value in enumerate(self._distinct(column))}
        return self._with(make_enumerate(column, labels, default, into, self.arrow_schema, self.shown_inputs))

    def explode(self, column: str, *, position: str | None = None, keep_empty: bool = False) -> Self:
        """Repeat each row once for each element of a list, which takes the list's place.

        Parameters
        ----------
        column : str
            The list.
        position : str, optional
            A new column: which element it is, from 0.
        keep_empty : bool
            Keep rows without elements, with null.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> frames = store.create_dataset("frames").append({"id": [1, 2], "boxes": [["car", "cat"], []]})
        >>> frames.view().explode("boxes").to_arrow().to_pylist()
        [{'id': 1, 'boxes': 'car'}, {'id': 1, 'boxes': 'cat'}]
        """
        return self._with(make_explode(column, position, self.arrow_schema, self.shown_inputs, keep_empty=keep_empty))

    def limit(self, rows: int) -> Self:
        """Keep the first rows of what the steps so far give."""
        return self._with(make_limit(rows, self.arrow_schema))

    def sample(
        self,
        fraction: float | str | None = None,
        *,
        rows: int | None = None,
        seed: int = 0,
        stratify: str | Sequence[str] | None = None,
    ) -> Self:
        """Keep some rows, chosen at random, in their order.

        The number of rows is exact. A row is chosen by a hash of its id, so that a sample of a later version shares
        most rows with one of an earlier version.

        Parameters
        ----------
        fraction : float or str
            Which share of the rows: 0.1, "1/3".
        rows : int
            Or how many rows.
        seed : int
            Another seed is another sample.
        stratify : str or sequence of str, optional
            Columns whose values keep their shares exactly.
        """
        self._check_ordering("sample")
        step = make_sample(fraction, rows, seed, stratify, self.arrow_schema, self.shown_inputs)
        return self._with(step)

    def order_by(self, *columns: str, descending: bool | Sequence[str] = False) -> Self:
        """Sort the rows; equal ones stay in their order. Null comes last, and NaN before it, both ways.

        Parameters
        ----------
        *columns : str
            The first decides first.
        descending : bool or sequence of str
            Whether all, or which of them, go from the greatest to the smallest.
        """
        self._check_ordering("order_by")
        return self._with(make_order_by(columns, descending, self.arrow_schema, self.shown_inputs))

    def shuffle(self, seed: int = 0, *, buffer_rows: int = BUFFER_ROWS, blocks: int = BLOCKS) -> Self:
        """Give every row once, in a random order that depends on the seed and the epoch alone.

        Rows are read in runs, and mixed in a buffer of rows of several runs; where the view has no more rows than the
        buffer, every order is possible. The sequences that `sequences` cuts are kept whole, also what conditions leave
        of them; behind a limit, a sample or another order single rows are mixed.

        Parameters
        ----------
        seed : int
            Another seed is another order.
        buffer_rows : int
            How many rows are mixed at a time.
        blocks : int
            Of how many runs of rows.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> view = store.create_dataset("n").append({"n": [1, 2, 3, 4, 5]}).view().shuffle(seed=7)
        >>> view.to_arrow()["n"].to_pylist(), view.repeat(2).count()
        ([2, 3, 4, 5, 1], 10)
        """
        self._check_ordering("shuffle")
        return self._with(make_shuffle(seed, buffer_rows, blocks, self.arrow_schema))

    def sequences(
        self,
        group_by: Sequence[str],
        order_by: str,
        *,
        length: int | str | None = None,
        max_gap: str | float | None = None,
        jump: int | str | None = None,
        min_length: int = 1,
        into: str | None = "sequence",
    ) -> Self:
        """Give the rows group by group in the order of time, cut into sequences.

        Parameters
        ----------
        group_by : sequence of str
            What the rows of a sequence have in common.
        order_by : str
            The column of time: an instant, a date, a number.
        length : int or str, optional
            How long a sequence is: rows, or a span such as "10m", counted from the first row of a run.
        max_gap : str or float, optional
            Two rows that lie further apart are not in one sequence.
        jump : int or str, optional
            How much is left out behind each sequence. Without a length it thins runs out: the first row of each span.
        min_length : int
            Sequences of fewer rows are left out.
        into : str, optional
            A new column with the number of the sequence.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> rows = {"car": ["a", "b", "a", "a", "b"], "second": [0, 0, 1, 9, 1]}
        >>> view = store.create_dataset("drive").append(rows).view()
        >>> view.sequences(["car"], "second", max_gap=5).to_arrow().to_pydict()
        {'car': ['a', 'a', 'a', 'b', 'b'], 'second': [0, 1, 9, 0, 1], 'sequence': [0, 0, 1, 2, 2]}
        """
        self._check_ordering("sequences")
        rules = SequenceRules(group_by, order_by, length, max_gap, jump, min_length, into)
        return self._with(make_sequences(rules, self.arrow_schema, self.shown_inputs))

    def repeat(self, epochs: int | None = None) -> Self:
        """Go through the rows again and again: an epoch each time, each with a new order where they are shuffled.

        Parameters
        ----------
        epochs : int, optional
            How often; without end unless given.
        """
        self._check_ordering("repeat")
        return self._with(make_repeat(epochs, self.arrow_schema))

    def union(self, *others: "View", columns: str = "same") -> "View":
        """Put the rows of other views behind those of this one.

        Parameters
        ----------
        *others : View
            Views of any versions.
        columns : {'same', 'common', 'all'}
            Whether all must have the same columns, or those that all have are taken, or all, with nulls.
        """
        return self._over(make_union([self, *others], columns))  # type: ignore[list-item]  # a mixin of View

    def blend(self, rules: "Mapping[str, Any] | Sequence[Rule]", *, rows: str | int = "all") -> "View":
        """Take rows that meet each of several conditions, in given proportions.

        The proportions are exact in every stretch of rows, but for the rounding of a row. A row that meets several
        conditions may come for each of them.

        Parameters
        ----------
        rules : mapping of str to float, or sequence of Rule
            Conditions and weights: ``{"late": 1, "NOT late": 5}``.
        rows : {'all', 'once', 'largest'} or int
            How many rows an epoch has: so many that every row comes at least once; that none comes twice; that every
            row of the largest part comes once; or a number. What comes again comes after all others of its part.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> view = store.create_dataset("n").append({"n": list(range(8))}).view()
        >>> view.blend({"n < 2": 1, "n >= 2": 1}, rows="once").to_arrow()["n"].to_pylist()
        [0, 2, 1, 3]
        """
        if isinstance(rules, Mapping):
            given = [Rule(where, weight=weight) for where, weight in rules.items()]
        else:
            given = check_list(rules, "blend() takes conditions and their weights", "blend({'late': 1, 'NOT late': 5})")
        read = read_rules(tuple(given))
        parts = [self._meeting(rule) for rule in read]
        return self._over(make_blend(parts, [rule.weight for rule in read], rows))

    def balance(self, column: str, weights: Mapping[Any, Any] | None = None, *, rows: str | int = "all") -> "View":
        """Take rows of each value of a column in given proportions: equal ones unless weights are given.

        The values are looked up now, and kept in the view; rows without a value are left out.

        Parameters
        ----------
        column : str
            Texts, whole numbers or booleans.
        weights : mapping, optional
            The weight of each value that is taken.
        rows : {'all', 'once', 'largest'} or int
            See `blend`.
        """
        if weights is not None and not isinstance(weights, Mapping):
            raise UsageError(f"{ascii(weights)[:40]} are no weights of values.", hint="balance('s', {'a': 1, 'b': 5})")
        values = dict.fromkeys(self._distinct(column), 1) if weights is None else dict(weights)
        if not values:
            raise UsageError(f"{column!r} has no value to balance.", hint="Look at it: view.to_polars().")
        return self.blend(
            {f"{quote(column)} = {_literal(value)}": weight for value, weight in values.items()}, rows=rows
        )

    def _meeting(self, rule: Rule) -> "View":
        if rule.source == EVERY_SOURCE:
            return rule.applied(self)  # type: ignore[arg-type]  # a mixin of View
        found = [rule.applied(view) for view in find_inputs(rule, self._inputs_apart("blend"))]
        return found[0] if len(found) == 1 else self._over(make_union(found, self._columns_rule()))

    def _inputs_apart(self, verb: str) -> "tuple[View, ...]":
        """Return the inputs that a rule may speak of; no step may stand between."""
        if not isinstance(self._inputs, Union):
            return (self,)  # type: ignore[return-value]  # a mixin of View
        if self._steps:
            raise UsageError(
                f"{verb}() with rules for single inputs comes before all other steps.",
                hint="Write it first, or put views together that have their steps already.",
            )
        return self._inputs.views

    def _columns_rule(self) -> str:
        return self._inputs.columns if isinstance(self._inputs, Union) else "same"

    def _check_ordering(self, verb: str) -> None:
        if self.is_endless or any("repeat" in step.spec() for step in self._steps):
            raise UsageError(
                f"{verb}() comes before repeat(), since it orders the rows of an epoch.", hint="Write repeat() last."
            )

    def _distinct(self, column: str) -> list[Any]:
        """Return the values of a column in their order."""
        if self.is_endless:
            raise endless("its values cannot be looked up")
        found: set[Any] = set()
        for batch in self.select(column).to_batches():  # type: ignore[attr-defined]  # the forms of a view
            values = batch.column(0)
            while is_list(values.type):
                values = values.flatten()
            if pa.types.is_nested(values.type):
                raise UsageError(
                    f"{column!r} is {batch.column(0).type}: it has no values to tell apart.",
                    hint=f"Name a field of it: select(x='{column}.name').",
                )
            found |= set(pc.unique(values.drop_null()).to_pylist())
            if len(found) > _MOST_STRATA:
                raise UsageError(
                    f"{column!r} has more than {_MOST_STRATA:,} values.", hint="Name those that matter, with numbers."
                )
        return sorted(found)


def _any_of(view: "View", rules: Sequence[Rule]) -> "View":
    """Return the rows of an input that meet one of the rules for it; none where there is no rule."""
    if not rules:
        return view.limit(0)
    if any(rule.where is None for rule in rules):
        return view
    return view.where_any(*(rule.where or "" for rule in rules))


def _literal(value: object) -> str:
    """Write a value as SQL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise UsageError(f"{ascii(value)[:40]} is no text, whole number or boolean.", hint="Use blend() with conditions.")
