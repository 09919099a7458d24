package libcontainerd_test

import (
	"encoding/json"
	"fmt"

	"github.com/seed-609fd248/libcontainerd"
)

// A code is read as people write it, and explained.
func ExampleParseCode() {
	for _, text := range []string{"IMAGE_MISMATCH", "c0370106", "3221225786"} {
		code, err := libcontainerd.ParseCode(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(code)
	}
	// Output:
	// HCS 0xC0370101 IMAGE_MISMATCH: container OS does not match host
	// HCS 0xC0370106 UNEXPECTED_EXIT: container died while starting or running
	// NTSTATUS 0xC000013A
}

// What usually leads to the exit code of a program that Windows ended.
func ExampleExitHint() {
	const code = 3221225781
	fmt.Println(libcontainerd.ExitName(code))
	fmt.Println(libcontainerd.ExitHint(code))
	// Output:
	// STATUS_DLL_NOT_FOUND
	// the image lacks a DLL that the program needs: Nano Server lacks many, Server Core has more; the Visual C++ runtime has to be installed
}

// The JSON of an error is for programs; it has neither document nor secrets.
func ExampleError_MarshalJSON() {
	text, err := json.MarshalIndent(&libcontainerd.Error{
		Op:          libcontainerd.OpKill,
		ContainerID: "web1",
		Process:     "shell",
		Code:        libcontainerd.CodeProcessStopped,
	}, "", "  ")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(text))
	// Output:
	// {
	//   "message": "kill process \"shell\" in container \"web1\": HCS 0x8037011F PROCESS_ALREADY_STOPPED: process has ended already",
	//   "op": "kill",
	//   "container": "web1",
	//   "process": "shell",
	//   "code": 2151088415,
	//   "name": "PROCESS_ALREADY_STOPPED",
	//   "kinds": [
	//     "not found"
	//   ],
	//   "retry": "harmless, done already"
	// }
}
