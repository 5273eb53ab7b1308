/** The CPU's graphs, told in operators that GPU providers have kernels for. */
import type { OnnxGraph, OnnxNode } from '../shared/onnx-model.ts'

/**
 * Integer products keep their activations in float32: int8 activations (level 4) are kernels of some adapters only, and one
 * backend should be one numerics class on all of them. The fused product of the CPU is the standard's own, transposed.
 */
export function forGpu(graph: OnnxGraph): OnnxGraph {
  return { ...graph, nodes: graph.nodes.map(nodeForGpu) }
}

function nodeForGpu(node: OnnxNode): OnnxNode {
  switch (node.operator) {
    case 'MatMulNBits':
      return { ...node, attributes: { ...node.attributes, accuracy_level: { int: 1 } } }
    case 'FusedMatMul': {
      const { domain: _, ...rest } = node
      return { ...rest, operator: 'Gemm', attributes: { transB: { int: 1 } } }
    }
    default:
      return node
  }
}
