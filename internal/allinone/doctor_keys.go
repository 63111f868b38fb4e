package allinone

import (
	"fmt"
	"net/http"

	"github.com/trivet-dev/trivet/platform/settings"
)

// position says which key of a list a finding is about, without showing the key.
type position struct{ at, of int }

func (p position) String() string {
	if p.of < 2 {
		return "the key"
	}
	return fmt.Sprintf("key %d of %d", p.at, p.of)
}

// earlier reports whether it is a key that Trivet uses only while the provider refuses the ones before it, or never.
func (p position) earlier() bool { return p.at > 1 }

// eachKey asks with each key of a list, or once without a key if the list is empty, until the answer tells about the server instead of the key.
func eachKey(keys settings.Secrets, ask func(key settings.Secret, p position) (found []Finding, more bool)) []Finding {
	if !keys.IsSet() {
		keys = settings.Secrets{{}}
	}
	var all []Finding
	for i, key := range keys {
		found, more := ask(key, position{i + 1, len(keys)})
		all = append(all, found...)
		if !more {
			break
		}
	}
	return all
}

// judge says what is wrong with the answer to a read-only call.
func judge(title, setting, address string, key position, status int, err error) []Finding {
	switch {
	case err != nil:
		return []Finding{failure(address, fmt.Sprintf("%s cannot be reached: %v", title, err), "check the address, DNS, proxy and firewall of this machine")}
	case status == http.StatusUnauthorized && key.earlier():
		return []Finding{warning(setting, fmt.Sprintf("%s refuses %s (401)", title, key), "remove it if its rotation has ended; otherwise copy a valid key from "+title+"'s dashboard")}
	case status == http.StatusUnauthorized:
		return []Finding{failure(setting, fmt.Sprintf("%s refuses %s (401)", title, key), "copy a valid key from "+title+"'s dashboard")}
	case status == http.StatusForbidden:
		return []Finding{warning(setting, fmt.Sprintf("%s does not let %s read what Trivet reads (403)", title, key), "give the key the permissions that INTEGRATIONS.md lists")}
	case status == http.StatusTooManyRequests:
		return []Finding{warning(setting, fmt.Sprintf("%s answers that the rate limit of %s is reached (429)", title, key), "find out what else uses the key")}
	case status != http.StatusOK:
		return []Finding{failure(address, fmt.Sprintf("%s answered with status %d", title, status), "check the address, and the provider's status page")}
	}
	return nil
}

// ofKey reports whether an answer depends on the key, so that another key may get another one.
func ofKey(status int, err error) bool {
	switch status {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return err == nil
	}
	return false
}
