"""What is known of the items beside their clicks, and where it lies: `[knowledge]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from prismrec.config import Section

TripleForm = Literal["auto", "tsv", "ntriples", "openke", "kgat", "mkr"]
"""How triples are written; `data.knowledge.triple_files` describes each form."""

Kind = Literal["text", "person", "place", "language", "year"]
"""What a value names: values of one kind and one name are one entity, whichever relation leads to it."""

Control = Literal["none", "shuffled", "absent"]
"""What is done to a graph to see what it is worth: nothing; relations and tails permuted; all triples gone."""


class RelationSettings(Section):
    """How a column of the item table becomes triples (item, relation, value)."""

    column: str = Field(description="column of the item table; a list column gives several triples")
    separator: str = Field(default="", description="split text at this, such as ',', into several values")
    kind: Kind = Field(
        default="text",
        description="what the values name: a person is one entity in all relations; text is one per relation",
    )


class KnowledgeSettings(Section):
    """Where the knowledge graph comes from: triple files, columns of the item table, or both."""

    triples: str = Field(default="", description="triples: file, folder or glob; empty = none")
    valid_triples: str = Field(default="", description="triples held out to choose settings on, in the same form")
    test_triples: str = Field(default="", description="triples held out to measure on, in the same form")
    form: TripleForm = Field(default="auto", description="how the triples are written; auto tells by the files")
    item_links: str = Field(default="", description="two columns: item id, entity id of the triples")
    labels: str = Field(default="", description="two columns: entity id, name that a person reads")
    aliases: str = Field(default="", description="two columns: another spelling or id, the one that it stands for")
    normalise: bool = Field(
        default=False, description="entities of the triples are names: case, underscores and Unicode forms are one"
    )
    relations: dict[str, RelationSettings] = Field(
        default_factory=dict, description="relation name -> item column, or more"
    )
    inverse: bool = Field(default=False, description="add (tail, inverse relation, head) for every triple")
    control: Control = Field(
        default="none", description="shuffled or absent: the same run without what the graph says, for comparison"
    )
    min_entity_degree: int = Field(
        default=1, ge=1, description="drop entities that are no items and have fewer triples than this"
    )

    @property
    def is_given(self) -> bool:
        """Whether the settings name any source of triples."""
        return bool(self.triples or self.relations)

    @field_validator("relations", mode="before")
    @classmethod
    def _short_relations(cls, relations: Any) -> Any:
        """`director = "directors"` is short for a relation with that column and nothing else."""
        if not isinstance(relations, Mapping):
            return relations
        return {name: {"column": value} if isinstance(value, str) else value for name, value in relations.items()}


__all__ = ["Control", "Kind", "KnowledgeSettings", "RelationSettings", "TripleForm"]
