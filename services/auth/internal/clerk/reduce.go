package clerk

import (
	"bytes"
	"encoding/json"
	"strings"
)

// The families of events that change the directory.
const (
	familyUser         = "user"
	familyOrganization = "organization"
	familyMembership   = "organizationMembership"
	familyRole         = "role"
	familySession      = "session"
)

// membershipDeleted may have nothing of its object but the id.
const membershipDeleted = familyMembership + ".deleted"

// fields are those that are kept of an object, or of each object of a list; nil keeps a value whole.
type fields map[string]fields

// needed is what applying an event takes, by family.
var needed = map[string]fields{
	familyUser: {
		"id": nil, "object": nil, "deleted": nil, "external_id": nil, "first_name": nil, "last_name": nil,
		"image_url": nil, "email_addresses": {"id": nil, "email_address": nil, "verification": {"status": nil}}, "primary_email_address_id": nil,
		"phone_numbers":   {"verification": {"status": nil}},
		"public_metadata": nil, "banned": nil, "deprovisioned": nil, "locked": nil, "lockout_expires_in_seconds": nil,
		"created_at": nil, "updated_at": nil,
	},
	familyOrganization: {
		"id": nil, "object": nil, "deleted": nil, "name": nil, "slug": nil, "image_url": nil, "public_metadata": nil,
		"created_at": nil, "updated_at": nil,
	},
	familyMembership: {
		"id": nil, "object": nil, "deleted": nil, "role": nil, "permissions": nil, "created_at": nil, "updated_at": nil,
		"organization": {"id": nil}, "public_user_data": {"user_id": nil},
	},
	familyRole: {
		"id": nil, "object": nil, "deleted": nil, "key": nil, "permissions": {"key": nil}, "created_at": nil,
		"updated_at": nil,
	},
	familySession: {
		"id": nil, "object": nil, "status": nil, "user_id": nil, "created_at": nil, "updated_at": nil,
	},
}

// pick keeps some fields. A value that is neither an object nor a list stays, so that applying the event refuses it.
func pick(raw json.RawMessage, keep fields) json.RawMessage {
	raw = bytes.TrimSpace(raw)
	if keep == nil || len(raw) == 0 {
		return raw
	}
	switch raw[0] {
	case '{':
		return filter(raw, func(name string, value json.RawMessage) (json.RawMessage, bool) {
			inner, ok := keep[name]
			return pick(value, inner), ok
		})
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return json.RawMessage("null")
		}
		for i := range list {
			list[i] = pick(list[i], keep)
		}
		return marshal(list)
	default:
		return raw
	}
}

const maxOutlined = 256 // bytes of one value

// outline keeps what names an object and says when and in which state it is, never what it says.
func outline(raw json.RawMessage) json.RawMessage {
	return filter(raw, func(name string, value json.RawMessage) (json.RawMessage, bool) {
		value = bytes.TrimSpace(value)
		scalar := len(value) > 0 && value[0] != '{' && value[0] != '[' && len(value) <= maxOutlined
		return value, scalar && isOutline(name)
	})
}

func isOutline(name string) bool {
	if !isName(name) {
		return false
	}
	switch name {
	case "id", "object", "status", "type", "deleted":
		return true
	}
	return strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "_at")
}

// filter rebuilds an object; null stands for anything else.
func filter(raw json.RawMessage, keep func(name string, value json.RawMessage) (json.RawMessage, bool)) json.RawMessage {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		return json.RawMessage("null")
	}
	for name, value := range object {
		if kept, ok := keep(name, value); ok {
			object[name] = kept
		} else {
			delete(object, name)
		}
	}
	return marshal(object)
}

func marshal(v any) json.RawMessage {
	raw, err := encode(v)
	if err != nil {
		return json.RawMessage("null") // what was just parsed always encodes
	}
	return raw
}

// encode is json.Marshal without what is for HTML: <, > and & would take six bytes each, and an event that came with many
// would no longer fit into the inbox.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}
