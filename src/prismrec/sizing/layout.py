"""The machines that a job runs on: how many, how many processes or GPUs each, and what each has."""

from __future__ import annotations

from pydantic import Field, model_validator

from prismrec.config import Section
from prismrec.sizing.quantities import show_bytes
from prismrec.sizing.rates import GPU_MEMORY, USABLE_GPU_MEMORY


class Layout(Section):
    """Equal machines."""

    name: str = Field("", description="how tables call it; its numbers where empty")
    machines: int = Field(1, ge=1, description="how many")
    gpus: int = Field(0, ge=0, description="devices per machine, one process each; 0 = train on the processors")
    processes: int = Field(1, ge=1, description="training processes per machine without GPUs")
    cores: int = Field(2, ge=1, description="per machine")
    memory_bytes: int = Field(24_000_000_000, ge=1, description="main memory per machine")
    disk_bytes: int = Field(0, ge=0, description="free disk per machine; 0 = not looked at")
    gpu_memory_bytes: int = Field(int(GPU_MEMORY.value), ge=1, description="per device")

    @model_validator(mode="after")
    def _one_kind(self) -> Layout:
        if self.gpus and self.processes > 1:
            raise ValueError("with gpus each device has one process: leave processes out")
        return self

    @property
    def workers(self) -> int:
        """Processes that train, one per device where there are devices."""
        return self.machines * self.per_machine

    @property
    def per_machine(self) -> int:
        """Of them on one machine."""
        return self.gpus or self.processes

    @property
    def usable_gpu_bytes(self) -> float:
        """What a device has for tables and buffers."""
        return self.gpu_memory_bytes * USABLE_GPU_MEMORY.value

    @property
    def title(self) -> str:
        """In words."""
        if self.name:
            return self.name
        has = f"{self.gpus} GPUs of {show_bytes(self.gpu_memory_bytes)}, " if self.gpus else ""
        has += f"{self.cores} cores and {show_bytes(self.memory_bytes)}"
        crew = "" if self.gpus else f", {self.processes} process{'es' if self.processes > 1 else ''}"
        return f"{self.machines} machines with {has} each{crew}" if self.machines > 1 else f"1 machine with {has}{crew}"


LAPTOP = Layout(name="laptop: 2 cores, 24 GB")
SERVER = Layout(name="server: 32 cores, 256 GB", cores=32, memory_bytes=256_000_000_000)
EIGHT_GPUS = Layout(name="8 GPUs: one machine", gpus=8, cores=112, memory_bytes=2_000_000_000_000)
MANY_GPUS = Layout(name="64 GPUs: 8 machines", machines=8, gpus=8, cores=112, memory_bytes=2_000_000_000_000)

LAYOUTS = (LAPTOP, SERVER, EIGHT_GPUS, MANY_GPUS)
"""Those of docs/scale.md. A GPU machine is as the data sheet of a DGX H200 has it: 8 x 141 GB, 112 cores, 2 TB."""

__all__ = ["EIGHT_GPUS", "LAPTOP", "LAYOUTS", "MANY_GPUS", "SERVER", "Layout"]
