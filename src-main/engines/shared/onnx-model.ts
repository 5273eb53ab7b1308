/**
 * The part of ONNX's file format that our graphs need, written field by field (onnx.proto, IR version 10). Weights are
 * declared here and handed to the runtime beside the model, or are inputs, so that they are never copied into a protobuf;
 * only small constants lie in it.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

/** TensorProto.DataType */
export const elementTypes = { float32: 1, uint8: 2, int32: 6, int64: 7, float16: 10 } as const
export type ElementType = keyof typeof elementTypes
export const elementBytes: Readonly<Record<ElementType, number>> = {
  float32: 4,
  uint8: 1,
  int32: 4,
  int64: 8,
  float16: 2,
}

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
  | { readonly graph: OnnxGraph }

export interface OnnxNode {
  readonly operator: string
  readonly domain?: 'com.microsoft'
  /** Names of values; '' leaves an optional one out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
}

/** A graph's input or output. A dimension with a name may differ from run to run, as everything may without a shape. */
export interface OnnxValue {
  readonly name: string
  readonly type: ElementType
  readonly shape?: readonly (number | string)[]
}

/** A small tensor inside the file; no dimensions make it a scalar. */
export interface OnnxConstant {
  readonly name: string
  readonly type: ConstantType
  readonly shape: readonly number[]
  readonly values: readonly number[]
}
export type ConstantType = Extract<ElementType, 'float32' | 'int32' | 'int64'>

/** A weight: its place in the external data, in bytes. */
export interface OnnxWeight {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly number[]
  readonly offsetBytes: number
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[]
  readonly constants?: readonly OnnxConstant[]
  readonly weights?: readonly OnnxWeight[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
}

/** ModelProto's bytes. `weightsLocation` names the file with the weights, if there are any, for the runtime to find. */
export function encodeOnnxModel(graph: OnnxGraph, weightsLocation = ''): Uint8Array {
  const writer = new BinaryWriter()
  writer.tag(1, WireType.Varint).int64(10) // ir_version
  message(writer, 7, () => writeGraph(writer, graph, weightsLocation))
  for (const { domain, version } of operatorSets) {
    message(writer, 8, () => {
      text(writer, 1, domain)
      writer.tag(2, WireType.Varint).int64(version)
    })
  }
  return writer.finish()
}

/** GraphProto */
function writeGraph(writer: BinaryWriter, graph: OnnxGraph, weightsLocation: string): void {
  for (const node of graph.nodes) message(writer, 1, () => writeNode(writer, node, weightsLocation))
  text(writer, 2, 'graph')
  for (const constant of graph.constants ?? []) message(writer, 5, () => writeConstant(writer, constant))
  for (const weight of graph.weights ?? []) message(writer, 5, () => writeWeight(writer, weight, weightsLocation))
  for (const input of graph.inputs) message(writer, 11, () => writeValue(writer, input))
  for (const output of graph.outputs) message(writer, 12, () => writeValue(writer, output))
}

/** NodeProto */
function writeNode(writer: BinaryWriter, node: OnnxNode, weightsLocation: string): void {
  for (const input of node.inputs) text(writer, 1, input)
  for (const output of node.outputs) text(writer, 2, output)
  text(writer, 3, `${node.operator}:${node.outputs[0]}`)
  text(writer, 4, node.operator)
  for (const [name, attribute] of Object.entries(node.attributes ?? {})) {
    message(writer, 5, () => writeAttribute(writer, name, attribute, weightsLocation))
  }
  if (node.domain) text(writer, 7, node.domain)
}

/** AttributeProto */
function writeAttribute(writer: BinaryWriter, name: string, attribute: Attribute, weightsLocation: string): void {
  text(writer, 1, name)
  if ('float' in attribute) {
    writer.tag(2, WireType.Bit32).float(attribute.float)
    writeAttributeType(writer, 'float')
  } else if ('int' in attribute) {
    writer.tag(3, WireType.Varint).int64(attribute.int)
    writeAttributeType(writer, 'int')
  } else if ('string' in attribute) {
    text(writer, 4, attribute.string)
    writeAttributeType(writer, 'string')
  } else if ('graph' in attribute) {
    message(writer, 6, () => writeGraph(writer, attribute.graph, weightsLocation))
    writeAttributeType(writer, 'graph')
  } else {
    for (const int of attribute.ints) writer.tag(8, WireType.Varint).int64(int)
    writeAttributeType(writer, 'ints')
  }
}

function writeAttributeType(writer: BinaryWriter, type: keyof typeof attributeTypes): void {
  writer.tag(20, WireType.Varint).int32(attributeTypes[type])
}

/** TensorProto with its values as raw little-endian bytes */
function writeConstant(writer: BinaryWriter, { name, type, shape, values }: OnnxConstant): void {
  declareTensor(writer, name, type, shape)
  writer.tag(9, WireType.LengthDelimited).bytes(new Uint8Array(elementsOf(type, values).buffer))
}

function elementsOf(type: ConstantType, values: readonly number[]) {
  switch (type) {
    case 'float32':
      return Float32Array.from(values)
    case 'int32':
      return Int32Array.from(values)
    case 'int64':
      return BigInt64Array.from(values, BigInt)
  }
}

/** TensorProto whose data is external */
function writeWeight(writer: BinaryWriter, { name, type, shape, offsetBytes }: OnnxWeight, location: string): void {
  declareTensor(writer, name, type, shape)
  writeEntry(writer, 'location', location)
  writeEntry(writer, 'offset', String(offsetBytes))
  writeEntry(writer, 'length', String(elementCount(shape) * elementBytes[type]))
  writer.tag(14, WireType.Varint).int32(1) // data_location: EXTERNAL
}

function declareTensor(writer: BinaryWriter, name: string, type: ElementType, shape: readonly number[]): void {
  for (const dimension of shape) writer.tag(1, WireType.Varint).int64(dimension)
  writer.tag(2, WireType.Varint).int32(elementTypes[type])
  text(writer, 8, name)
}

/** StringStringEntryProto in TensorProto.external_data */
function writeEntry(writer: BinaryWriter, key: string, value: string): void {
  message(writer, 13, () => {
    text(writer, 1, key)
    text(writer, 2, value)
  })
}

/** ValueInfoProto > TypeProto > Tensor > TensorShapeProto > Dimension */
function writeValue(writer: BinaryWriter, { name, type, shape }: OnnxValue): void {
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

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1)
}
