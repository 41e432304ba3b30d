"""Options of Paddle Inference's ``Config`` that choose nothing here.

What only steers how Paddle itself gets to the same result is accepted and has no effect: graph passes,
memory planning and kernels were chosen when the model was compiled. What asks for another device, engine,
precision or result is refused, for accepting it would promise something that does not happen.
"""

from __future__ import annotations

from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.paddle_engines import PaddleEngines


def _refuse(method: str, why: str) -> UsageError:
    return UsageError(f"Config.{method}(): {why}")


class PaddleOptions(PaddleEngines):
    """Options that are accepted without effect, and options that are refused."""

    def enable_memory_optim(self, x: bool = True) -> None:
        """Accept: memory is planned when the model is compiled."""

    def disable_glog_info(self) -> None:
        """Accept: the runtime logs nothing."""

    def glog_info_disabled(self) -> bool:
        """Return True: the runtime logs nothing."""
        return True

    def switch_ir_optim(self, x: bool = True) -> None:
        """Accept: the graph is optimised when the model is compiled."""

    def ir_optim(self) -> bool:
        """Return True: the graph is optimised when the model is compiled."""
        return True

    def switch_ir_debug(self, x: bool = True) -> None:
        """Accept without effect: there is no pass here to debug."""

    def set_optimization_level(self, level: int) -> None:
        """Accept: the graph is optimised when the model is compiled."""

    def delete_pass(self, name: str) -> None:
        """Accept: Paddle's passes do not run here."""

    def switch_use_feed_fetch_ops(self, x: bool = True) -> None:
        """Accept: there are no feed and fetch operators."""

    def use_feed_fetch_ops_enabled(self) -> bool:
        """Return False: there are no feed and fetch operators."""
        return False

    def switch_specify_input_names(self, x: bool = True) -> None:
        """Accept: inputs always have names."""

    def specify_input_name(self) -> bool:
        """Return True: inputs always have names."""
        return True

    def enable_new_ir(self, x: bool = True) -> None:
        """Accept: the model is compiled."""

    def enable_new_executor(self, x: bool = True) -> None:
        """Accept: the model is compiled."""

    def enable_mkldnn(self) -> None:
        """Accept: which kernels run was chosen when the model was compiled."""

    def enable_onednn(self) -> None:
        """Accept: which kernels run was chosen when the model was compiled."""

    def disable_mkldnn(self) -> None:
        """Accept: which kernels run was chosen when the model was compiled."""

    def disable_onednn(self) -> None:
        """Accept: which kernels run was chosen when the model was compiled."""

    def set_mkldnn_cache_capacity(self, capacity: int) -> None:
        """Accept: nothing is cached by shape; see ``set_cached_memory_limit_mb``."""

    def set_onednn_cache_capacity(self, capacity: int) -> None:
        """Accept: nothing is cached by shape; see ``set_cached_memory_limit_mb``."""

    def mkldnn_enabled(self) -> bool:
        """Return False: Paddle's oneDNN kernels do not run here."""
        return False

    def onednn_enabled(self) -> bool:
        """Return False: Paddle's oneDNN kernels do not run here."""
        return False

    def use_xpu(self) -> bool:
        """Return False: models run on the CPU."""
        return False

    def set_prog_file(self, path: str) -> None:
        """Refuse: a program file is a Paddle model that is not compiled."""
        raise _refuse("set_prog_file", f"compile the model first: paddle-tvm compile {path} -o model.pdtvm")

    def set_params_file(self, path: str) -> None:
        """Refuse: an artifact has its weights with it."""
        raise _refuse("set_params_file", "an artifact has its weights with it; name its directory alone")

    def set_model_buffer(self, *args: object) -> None:
        """Refuse: artifacts are loaded from a directory."""
        raise _refuse("set_model_buffer", "artifacts are loaded from a directory: Config('model.pdtvm')")

    def enable_xpu(self, *args: object, **kwargs: object) -> None:
        """Refuse: this artifact's code is for the CPU."""
        raise _refuse("enable_xpu", "compiled models run on CPUs and NVIDIA GPUs; leave the call out")

    def enable_custom_device(self, *args: object, **kwargs: object) -> None:
        """Refuse: this artifact's code is for the CPU."""
        raise _refuse("enable_custom_device", "compiled models run on CPUs and NVIDIA GPUs; leave it out")

    def enable_openvino_engine(self, *args: object, **kwargs: object) -> None:
        """Refuse: the engine is chosen when the model is compiled."""
        raise _refuse("enable_openvino_engine", "compiled models run on TVM's virtual machine; leave it out")

    def enable_low_precision_io(self, x: bool = True) -> None:
        """Refuse: the types of inputs and outputs are fixed when the model is compiled."""
        raise _refuse("enable_low_precision_io", "types of inputs and outputs are fixed by compilation")

    def enable_profile(self) -> None:
        """Refuse: profiles come from the command line."""
        raise _refuse("enable_profile", "no profile is printed from here: use `paddle-tvm profile ARTIFACT`")
