// Package statuspb converts between statuses in the contract and the words that people read.
package statuspb

import (
	"strings"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
)

const prefix = "STATUS_"

// Parse returns the status that a word such as "operational" names. An unknown word is STATUS_UNKNOWN.
func Parse(word string) statusv1.Status {
	if value, ok := statusv1.Status_value[prefix+strings.ToUpper(word)]; ok && value != 0 {
		return statusv1.Status(value)
	}
	return statusv1.Status_STATUS_UNKNOWN
}

// Word returns the word for a status, such as "operational". A status that this build does not know is "unknown".
func Word(s statusv1.Status) string {
	name, ok := statusv1.Status_name[int32(s)]
	if !ok || s == statusv1.Status_STATUS_UNSPECIFIED {
		name = statusv1.Status_name[int32(statusv1.Status_STATUS_UNKNOWN)]
	}
	return strings.ToLower(strings.TrimPrefix(name, prefix))
}
