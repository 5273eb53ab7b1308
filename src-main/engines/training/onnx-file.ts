/**
 * The part of ONNX's file format that training graphs need, written field by field (onnx.proto, IR version 10): nodes,
 * small constants, inputs and outputs of any shape. Weights are inputs here, never part of the file.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

/** TensorProto.DataType */
export const elementTypes = { float32: 1, int32: 6, int64: 7 } as const
export type ElementType = keyof typeof elementTypes

/** AttributeProto.AttributeType */
const attributeTypes = { float: 1, int: 2, string: 3, graph: 5, ints: 7 } as const

/** onnxruntime's own operators live in the second domain. */
const operatorSets = [
  { domain: '', version: 20 },
  { domain: 'com.microsoft', version: 1 },
] as const

export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly string: string }
  | { readonly ints: readonly number[] }
  /** A body that a node runs many times; it sees the values around it by name. */
  | { readonly graph: GraphFile }

export interface GraphNode {
  readonly operator: string
  readonly domain?: 'com.microsoft'
  /** Names of values; '' leaves an optional one out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
}

/** A small tensor of integers or floats inside the file; no shape means a scalar. */
export interface GraphConstant {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly number[]
  readonly values: readonly number[]
}

/** An input or output. Without a shape it is left to the run, as is a dimension with a name. */
export interface GraphValue {
  readonly name: string
  readonly type: ElementType
  readonly shape?: readonly (number | string)[]
}

export interface GraphFile {
  readonly nodes: readonly GraphNode[]
  readonly constants: readonly GraphConstant[]
  readonly inputs: readonly GraphValue[]
  readonly outputs: readonly GraphValue[]
}

/** ModelProto's bytes. */
export function encodeGraphFile(graph: GraphFile): Uint8Array {
  const writer = new BinaryWriter()
  writer.tag(1, WireType.Varint).int64(10) // ir_version
  message(writer, 7, () => writeGraph(writer, graph))
  for (const { domain, version } of operatorSets) {
    message(writer, 8, () => {
      text(writer, 1, domain)
      writer.tag(2, WireType.Varint).int64(version)
    })
  }
  return writer.finish()
}

/** GraphProto */
function writeGraph(writer: BinaryWriter, graph: GraphFile): void {
  for (const node of graph.nodes) message(writer, 1, () => writeNode(writer, node))
  text(writer, 2, 'graph')
  for (const constant of graph.constants) message(writer, 5, () => writeConstant(writer, constant))
  for (const input of graph.inputs) message(writer, 11, () => writeValue(writer, input))
  for (const output of graph.outputs) message(writer, 12, () => writeValue(writer, output))
}

/** NodeProto */
function writeNode(writer: BinaryWriter, node: GraphNode): void {
  for (const input of node.inputs) text(writer, 1, input)
  for (const output of node.outputs) text(writer, 2, output)
  text(writer, 3, `${node.operator}:${node.outputs[0]}`)
  text(writer, 4, node.operator)
  for (const [name, attribute] of Object.entries(node.attributes ?? {})) {
    message(writer, 5, () => writeAttribute(writer, name, attribute))
  }
  if (node.domain) text(writer, 7, node.domain)
}

/** AttributeProto */
function writeAttribute(writer: BinaryWriter, name: string, attribute: Attribute): void {
  text(writer, 1, name)
  if ('float' in attribute) {
    writer.tag(2, WireType.Bit32).float(attribute.float)
    attributeType(writer, 'float')
  } else if ('int' in attribute) {
    writer.tag(3, WireType.Varint).int64(attribute.int)
    attributeType(writer, 'int')
  } else if ('string' in attribute) {
    text(writer, 4, attribute.string)
    attributeType(writer, 'string')
  } else if ('graph' in attribute) {
    message(writer, 6, () => writeGraph(writer, attribute.graph))
    attributeType(writer, 'graph')
  } else {
    for (const value of attribute.ints) writer.tag(8, WireType.Varint).int64(value)
    attributeType(writer, 'ints')
  }
}

function attributeType(writer: BinaryWriter, type: keyof typeof attributeTypes): void {
  writer.tag(20, WireType.Varint).int32(attributeTypes[type])
}

/** TensorProto with its values as raw little-endian bytes */
function writeConstant(writer: BinaryWriter, { name, type, shape, values }: GraphConstant): void {
  for (const dimension of shape) writer.tag(1, WireType.Varint).int64(dimension)
  writer.tag(2, WireType.Varint).int32(elementTypes[type])
  text(writer, 8, name)
  writer.tag(9, WireType.LengthDelimited).bytes(new Uint8Array(elementsOf(type, values).buffer))
}

function elementsOf(type: ElementType, values: readonly number[]) {
  switch (type) {
    case 'float32':
      return Float32Array.from(values)
    case 'int32':
      return Int32Array.from(values)
    case 'int64':
      return BigInt64Array.from(values, BigInt)
  }
}

/** ValueInfoProto > TypeProto > Tensor > TensorShapeProto > Dimension */
function writeValue(writer: BinaryWriter, { name, type, shape }: GraphValue): void {
  text(writer, 1, name)
  message(writer, 2, () =>
    message(writer, 1, () => {
      writer.tag(1, WireType.Varint).int32(elementTypes[type])
      if (shape) message(writer, 2, () => writeShape(writer, shape))
    }),
  )
}

function writeShape(writer: BinaryWriter, shape: readonly (number | string)[]): void {
  for (const dimension of shape) message(writer, 1, () => writeDimension(writer, dimension))
}

function writeDimension(writer: BinaryWriter, dimension: number | string): void {
  if (typeof dimension === 'number') writer.tag(1, WireType.Varint).int64(dimension)
  else text(writer, 2, dimension)
}

function message(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork()
  write()
  writer.join()
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value)
}
