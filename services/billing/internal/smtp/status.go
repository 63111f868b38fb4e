package smtp

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/wneessen/go-mail"
)

// reply matches the start of a reply with an enhanced status code, as of RFC 2034. The library looks for the code in the whole text, where the address
// of a host looks like one. Some versions of net/textproto quote the text.
var reply = regexp.MustCompile(`^([45])\d\d "?([45]\.\d{1,3}\.\d{1,3})(?:[\s,"\\]|$)`)

// enhanced returns the enhanced status code of a refusal, such as 5.1.1; "" for none, or one that contradicts the reply's code.
func enhanced(refused *sdk.SendError) string {
	found := reply.FindStringSubmatch(strings.TrimPrefix(refused.Error(), refused.Reason.String()+": "))
	if found == nil || found[1] != found[2][:1] {
		return ""
	}
	return found[2]
}

// noDetail stands for the detail of a reply without an enhanced status code.
const noDetail = -1

// permanent reports whether a reply says that the server never takes this mail, although it takes others. Servers refuse a sender or a client, too, at the
// recipient or after the text: that concerns every mail.
func permanent(stage string, code int, status string) bool {
	if code < 500 {
		return false
	}
	subject, detail, _ := strings.Cut(strings.TrimPrefix(status, "5."), ".")
	n, err := strconv.Atoi(detail)
	if err != nil {
		n = noDetail
	}
	switch {
	case stage == "rcpt" && status == "": // as of RFC 5321
		return slices.Contains([]int{550, 551, 553}, code)
	case stage == "rcpt" && subject == "1": // 5.1.0 is about an unnamed address, such as a sender without a mailbox; 5.1.7 and 5.1.8 are about the sender
		return !slices.Contains([]int{0, 7, 8}, n)
	case stage == "rcpt":
		return subject == "2" // the mailbox
	case stage == "data": // too large for the mailbox or the server, or not a form that it takes
		return subject == "6" || subject == "2" && n == 3 || subject == "3" && n == 4
	}
	return false
}

// doubtful reports whether a refusal that is not permanent may concern the recipient alone. One that names the sender (5.1.7, 5.1.8), the password or the
// order of the commands (503, 530, 5.5.x) concerns every mail.
func doubtful(stage string, code int, status string) bool {
	if stage != "rcpt" || code < 500 {
		return false
	}
	if slices.Contains([]int{503, 530}, code) {
		return false
	}
	return status != "5.1.7" && status != "5.1.8" && !strings.HasPrefix(status, "5.5.")
}
