package clerk

import (
	"encoding/json"
	"net/http"
)

// metadata is the body of the metadata endpoints; nil leaves a part alone.
type metadata struct {
	Public  *json.RawMessage `json:"public_metadata"`
	Private *json.RawMessage `json:"private_metadata"`
	Unsafe  *json.RawMessage `json:"unsafe_metadata"`
}

func (p userParams) metadata() metadata {
	return metadata{p.PublicMetadata, p.PrivateMetadata, p.UnsafeMetadata}
}

func (f *Fake) replaceUserMetadata(r *http.Request) (any, error) {
	return f.changeUserMetadata(r, metadata.replace)
}

func (f *Fake) mergeUserMetadata(r *http.Request) (any, error) {
	return f.changeUserMetadata(r, metadata.merge)
}

func (f *Fake) changeUserMetadata(r *http.Request, change func(metadata, *User) error) (any, error) {
	var m metadata
	if err := readBody(r, &m); err != nil {
		return nil, err
	}
	return f.changeUser(r, func(u *User) error { return change(m, u) })
}

func (m metadata) replace(u *User) error {
	return m.each(&u.PublicMetadata, &u.PrivateMetadata, &u.UnsafeMetadata, replaceObject)
}

func (m metadata) merge(u *User) error {
	return m.each(&u.PublicMetadata, &u.PrivateMetadata, &u.UnsafeMetadata, mergeObject)
}

func (m metadata) each(public, private, unsafe *json.RawMessage, change func(old, new json.RawMessage) (json.RawMessage, error)) error {
	for name, part := range map[string]struct{ from, into *json.RawMessage }{
		"public_metadata": {m.Public, public}, "private_metadata": {m.Private, private}, "unsafe_metadata": {m.Unsafe, unsafe},
	} {
		if part.from == nil || part.into == nil {
			continue
		}
		changed, err := change(*part.into, *part.from)
		if err != nil {
			return invalid(name, "form_param_format_invalid", "must be a JSON object.")
		}
		*part.into = changed
	}
	return nil
}

func replaceObject(_, replacement json.RawMessage) (json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(replacement, &object); err != nil {
		return nil, err
	}
	if object == nil {
		return emptyObject(), nil
	}
	return replacement, nil
}

// mergeObject merges deeply; null removes a key.
func mergeObject(old, patch json.RawMessage) (json.RawMessage, error) {
	var base, changes map[string]json.RawMessage
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, err
	}
	if json.Unmarshal(old, &base) != nil || base == nil {
		base = map[string]json.RawMessage{}
	}
	for key, value := range changes {
		var inner map[string]json.RawMessage
		switch {
		case string(value) == "null":
			delete(base, key)
		case json.Unmarshal(value, &inner) == nil:
			merged, err := mergeObject(base[key], value)
			if err != nil {
				return nil, err
			}
			base[key] = merged
		default:
			base[key] = value
		}
	}
	return json.Marshal(base)
}
