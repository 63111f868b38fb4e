// What the overlay needs to know of the compiled contract: a FileDescriptorSet in JSON.

const PRIVATE = 'CALLER_INTERNAL';

/** @returns lookups by full name over all of the contract's messages, enums and methods. */
export function contract(image) {
  const messages = new Map(), methods = new Map(), enums = new Map();
  for (const file of image.file) {
    for (const m of file.messageType ?? []) messages.set(`${file.package}.${m.name}`, m);
    for (const e of file.enumType ?? []) enums.set(`${file.package}.${e.name}`, e);
    for (const service of file.service ?? []) {
      for (const method of service.method) methods.set(`${service.name}_${method.name}`, { ...method, service: service.name });
    }
  }
  return {
    method(operationId) {
      const found = methods.get(operationId);
      if (!found) throw new Error(`${operationId} is not an RPC of the contract`);
      return found;
    },
    caller(operationId) {
      const caller = methods.get(operationId).options?.['[trivet.access.v1.rule]']?.caller;
      if (!caller || caller === PRIVATE) throw new Error(`${operationId} is served by REST, but its access rule is ${caller}`);
      return caller;
    },
    scopes: (operationId) => methods.get(operationId).options?.['[trivet.access.v1.rule]']?.scopes ?? [],
    /** The JSON names of the fields that the edge always sends: it leaves out only messages, optional fields and oneofs. */
    alwaysSent(message) {
      const fields = messages.get(message)?.field ?? [];
      return fields
        .filter((f) => !f.proto3Optional && f.oneofIndex === undefined && (f.label === 'LABEL_REPEATED' || f.type !== 'TYPE_MESSAGE'))
        .map((f) => f.jsonName);
    },
    isMessage: (name) => messages.has(name),
    /** The enum of `code` in an error body: the reasons without their prefix. */
    errorReasons() {
      const prefix = 'ERROR_REASON_';
      const names = enums.get('trivet.errors.v1.ErrorReason').value.map((v) => v.name.slice(prefix.length));
      return { type: 'string', description: 'Why a call failed. /docs/errors.md of the repository explains each reason.', enum: names.filter((n) => n !== 'UNSPECIFIED') };
    },
  };
}
