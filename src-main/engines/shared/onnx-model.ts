/**
 * The part of ONNX's file format that our graphs need, written field by field (onnx.proto, IR version 10). Weights are
 * declared here and handed to the runtime beside the model, so that they are never copied into a protobuf.
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
const attributeTypes = { float: 1, int: 2, ints: 7 } as const

/** onnxruntime's own operators live in the second domain. */
const operatorSets = [
  { domain: '', version: 20 },
  { domain: 'com.microsoft', version: 1 },
] as const

export type Attribute = { readonly int: number } | { readonly float: number } | { readonly ints: readonly number[] }

export interface OnnxNode {
  readonly operator: string
  readonly domain?: 'com.microsoft'
  /** Names of values; '' leaves an optional one out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
}

/** A graph's input or output. A dimension with a name may differ from run to run. */
export interface OnnxValue {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly (number | string)[]
}

/** A weight: its place in the external data, in bytes. */
export interface OnnxWeight {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly number[]
  readonly offsetBytes: number
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[]
  readonly weights: readonly OnnxWeight[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
}

/** ModelProto's bytes. `weightsLocation` names the file with the external data, for the runtime to find. */
export function encodeOnnxModel(graph: OnnxGraph, weightsLocation: string): Uint8Array {
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
  for (const node of graph.nodes) message(writer, 1, () => writeNode(writer, node))
  text(writer, 2, 'graph')
  for (const weight of graph.weights) message(writer, 5, () => writeWeight(writer, weight, weightsLocation))
  for (const input of graph.inputs) message(writer, 11, () => writeValue(writer, input))
  for (const output of graph.outputs) message(writer, 12, () => writeValue(writer, output))
}

/** NodeProto */
function writeNode(writer: BinaryWriter, node: OnnxNode): void {
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
    writer.tag(20, WireType.Varint).int32(attributeTypes.float)
  } else if ('ints' in attribute) {
    for (const int of attribute.ints) writer.tag(8, WireType.Varint).int64(int)
    writer.tag(20, WireType.Varint).int32(attributeTypes.ints)
  } else {
    writer.tag(3, WireType.Varint).int64(attribute.int)
    writer.tag(20, WireType.Varint).int32(attributeTypes.int)
  }
}

/** TensorProto whose data is external */
function writeWeight(writer: BinaryWriter, { name, type, shape, offsetBytes }: OnnxWeight, location: string): void {
  for (const dimension of shape) writer.tag(1, WireType.Varint).int64(dimension)
  writer.tag(2, WireType.Varint).int32(elementTypes[type])
  text(writer, 8, name)
  writeEntry(writer, 'location', location)
  writeEntry(writer, 'offset', String(offsetBytes))
  writeEntry(writer, 'length', String(elementCount(shape) * elementBytes[type]))
  writer.tag(14, WireType.Varint).int32(1) // data_location: EXTERNAL
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
      message(writer, 2, () => {
        for (const dimension of shape) message(writer, 1, () => writeDimension(writer, dimension))
      })
    }),
  )
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
