package allinone

import "fmt"

// server is a kind of server whose version counts.
type server struct {
	name, setting string
	// needed is the oldest version that works, tested the oldest one that Trivet is tested with.
	needed, tested int
}

// judge reports a version that is too old. 0 is a version that is not known.
func (s server) judge(version int) []Finding {
	fix := fmt.Sprintf("upgrade the server to %s %d or later", s.name, s.tested)
	switch {
	case version == 0 || version >= s.tested:
		return nil
	case version < s.needed:
		return []Finding{failure(s.setting, fmt.Sprintf("the server is %s %d; Trivet needs %d or later", s.name, version, s.needed), fix)}
	default:
		return []Finding{warning(s.setting, fmt.Sprintf("the server is %s %d; Trivet is tested with %d and later", s.name, version, s.tested), fix)}
	}
}
