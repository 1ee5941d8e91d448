"""The ReLU implicit network: weights and forward pass, adjoint and gradients, tangent features and kernel."""

from .network import INITS, OUTPUT_INITS, Layers, Network, Shape, draw_network, units, weight_views

__all__ = ["INITS", "OUTPUT_INITS", "Layers", "Network", "Shape", "draw_network", "units", "weight_views"]
