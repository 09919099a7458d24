package libcontainerd

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A lesson is something that went wrong elsewhere, and does not go wrong here. A number
// says where it went wrong:
//
//   - 17: in Docker's engine, in ten years of its history (1–68)
//   - D20: in the client of 2016, by reading it (D1–D48) or running it (D49–D53)
//   - P4: in a library of today (P1–P14)
//   - F22: in the field, as users have reported (F1–F48)
//
// A comment at a test names the lessons that the test is about: "See lessons_test.go: 17."
type lesson struct {
	id        string
	behaviour string // of this package
	tests     []string
	because   string // why there is no test, if there is none
}

// lessons are all lessons but the failures that have a code: codes_test.go has those, in
// the map failures, where the name of F10 begins with 10.
var lessons = []lesson{
	{id: "1", behaviour: "the image of the utility VM is sent", tests: []string{"TestHyperVContainerHasNoVolumeButItsOwnVM", "TestSpecFromOCIOfHyperV", "TestGoldenDocuments"}},
	{id: "2", behaviour: "a Hyper-V container has no volume path", tests: []string{"TestHyperVContainerHasNoVolumeButItsOwnVM"}},
	{id: "3", behaviour: "a Hyper-V container has its layer folder", tests: []string{"TestHyperVContainerHasNoVolumeButItsOwnVM"}},
	{id: "4", behaviour: "the topmost layer that has a utility VM provides it, and it is an error if none has", tests: []string{"TestUtilityVMIsThatOfTheTopmostLayerThatHasOne", "TestFailuresOfTheServiceAreNotBadInput"}},
	{id: "5", behaviour: "missing layers are an error", tests: []string{"TestBadFieldsAreNamed", "TestBadOCIFieldsAreNamed"}},
	{id: "6", behaviour: "a root is a volume without backslash, or none for Hyper-V; an impossible root is refused, and a nil one is not read", tests: []string{"TestBadOCIFieldsAreNamed", "TestSpecFromOCIToleratesNilPointers", "TestDocumentFieldsFollowTheSpec"}},
	{id: "7", behaviour: "numbers are multiplied in a type that holds the product", tests: []string{"TestDocumentFieldsFollowTheSpec"}},
	{id: "8", behaviour: "the processor maximum may be given in 1/10000", tests: []string{"TestDocumentFieldsFollowTheSpec", "TestSpecFromOCICarriesEveryField"}},
	{id: "9", behaviour: "a processor count is sent, at most as many as the host has, with a warning, and the caller's spec is not changed", tests: []string{"TestDocumentFieldsFollowTheSpec", "TestTranslationWarnsOfWhatHCSWillNotDo", "TestTranslationLeavesTheSpecAlone"}},
	{id: "10", behaviour: "a sandbox size is sent only if the spec has one", tests: []string{"TestWhatThe2016ClientTookIsTaken", "TestGoldenDocuments"}},
	{id: "11", behaviour: "a mount is read-only by its option ro", tests: []string{"TestSpecFromOCICarriesEveryField"}},
	{id: "12", behaviour: "named pipes are mapped, where the build can", tests: []string{"TestSpecFromOCICarriesEveryField", "TestOldBuildsRefuseWhatTheyDoNotKnow"}},
	{id: "13", behaviour: "devices are assigned by class, where the build can, and other kinds are refused", tests: []string{"TestSpecFromOCICarriesEveryField", "TestOldBuildsRefuseWhatTheyDoNotKnow", "TestBadOCIFieldsAreNamed"}},
	{id: "14", behaviour: "credential spec, DNS settings and a shared network are sent, the latter not for Hyper-V", tests: []string{"TestSpecFromOCICarriesEveryField", "TestCredentialSpecIsAnObjectOrItsText", "TestBadFieldsAreNamed", "TestGoldenDocuments"}},
	{id: "15", behaviour: "of several options each one holds", tests: []string{"TestEveryOptionOfARestoreHolds", "TestOptionThatFailsFailsCreateBeforeHCSIsAsked"}},
	{id: "16", behaviour: "an environment value may contain =", tests: []string{"TestEnvironment", "TestProcessParameters"}},
	{id: "17", behaviour: "arguments are escaped as Windows splits them, once, or the command line is taken verbatim", tests: []string{"TestEscapeArg", "FuzzCommandLine", "TestCommandLineOfOCIIsTakenVerbatim"}},
	{id: "18", behaviour: "a process runs as its user", tests: []string{"TestProcessParameters", "TestSpecFromOCICarriesEveryField"}},
	{id: "19", behaviour: "width is not height", tests: []string{"TestResizeTellsWidthFromHeight", "TestProcessParameters"}},
	{id: "20", behaviour: "no work-around for the consoles of builds before 14350", because: "Windows Server 2016 has build 14393"},
	{id: "21", behaviour: "IsDummy and SandboxPath are sent, for Technical Preview 4; released Windows does not get them", tests: []string{"TestGoldenDocuments", "TestHCSShimCarriesTheWholeDocument"}},
	{id: "22", behaviour: "a restart is not a first start", tests: []string{"TestRestartIsNoFirstStart"}},
	{id: "23", behaviour: "a root is wanted for process isolation only, and is a volume", tests: []string{"TestBadOCIFieldsAreNamed", "TestSpecFromOCIOfHyperV"}},
	{id: "24", behaviour: "no lock is held while the Backend is called", tests: []string{"TestEngineMayHoldItsLockWhileItCalls", "TestBackendMayCallEveryMethodFromACallback"}},
	{id: "25", behaviour: "the table forgets containers and processes by their own names, and no call meets a closed handle", tests: []string{"TestContainerRunsToItsExit", "TestExecNameIsFreeWhenItsExitIsHeardOf", "TestClientBehavesAsItsModel", "TestContainerEndsWhileALatePauseIsUndone"}},
	{id: "26", behaviour: "the handle that created a process is the one that is waited on", tests: []string{"TestCallsOfAContainersLife"}},
	{id: "27", behaviour: "a shutdown that takes minutes holds up nobody", tests: []string{"TestSlowTeardownHoldsUpNobody"}},
	{id: "28", behaviour: "an exec whose streams are refused leaves nothing, and no lock in a wrong state", tests: []string{"TestExecThatFailsLeavesNothing"}},
	{id: "29", behaviour: "while a restart changes something, nobody reads it", tests: []string{"TestManyContainersAtOnceWithFaults", "TestRestartManagerStartsTheContainerAgain"}},
	{id: "30", behaviour: "a start never precedes the restart it follows", tests: []string{"TestStartFollowsItsRestart"}},
	{id: "31", behaviour: "a restart that fails is an exit", tests: []string{"TestRestartThatFailsIsAnExit"}},
	{id: "32", behaviour: "the engine decides about restarts, after every exit, and a signal ends the wait for one", tests: []string{"TestRestartManagerIsAskedAfterASignalToo", "TestWhileARestartIsPending"}},
	{id: "33", behaviour: "the event queue of a container costs nothing when it is empty", tests: []string{"TestSoak", "TestCallbacksOfAContainerDoNotOverlap"}},
	{id: "34", behaviour: "an exit never overtakes its start", tests: []string{"TestExitNeverOvertakesTheStart", "TestExecExitFollowsItsAttachment"}},
	{id: "35", behaviour: "the engine may lock what it likes in a callback", tests: []string{"TestEngineMayHoldItsLockWhileItCalls"}},
	{id: "36", behaviour: "a process that never started has no exit", tests: []string{"TestExecThatFailsLeavesNothing", "TestManyContainersAtOnceWithFaults"}},
	{id: "37", behaviour: "no exec'd process can be called init", tests: []string{"TestExecThatIsRefused"}},
	{id: "38", behaviour: "a restored container can be ended", tests: []string{"TestReattachTakesUpARunningContainer"}},
	{id: "39", behaviour: "a system whose start fails is ended", tests: []string{"TestCreateThatFailsLeavesNothing"}},
	{id: "40", behaviour: "each handle is closed exactly once", tests: []string{"TestCallsOfAContainersLife", "TestClientBehavesAsItsModel"}},
	{id: "41", behaviour: "a container whose init process cannot be made is gone", tests: []string{"TestCreateThatFailsLeavesNothing"}},
	{id: "42", behaviour: "a process whose streams are refused is killed, waited for and closed", tests: []string{"TestCreateThatFailsLeavesNothing", "TestExecThatFailsLeavesNothing"}},
	{id: "43", behaviour: "streams cost no goroutine, and close at any read error", tests: []string{"TestReadErrorClosesThePipeAndIsPassedOn"}},
	{id: "44", behaviour: "stdin is closed on both ends, and a process that has gone does not matter", tests: []string{"TestStdinIsClosedOnBothEnds", "TestStdinReachesTheProcessUntilItsEnd"}},
	{id: "45", behaviour: "all streams are handed over at once", because: "the Backend decides in which order it uses them"},
	{id: "46", behaviour: "the name of an exec that failed is free", tests: []string{"TestExecThatFailsLeavesNothing"}},
	{id: "47", behaviour: "an exec'd process can be signalled", tests: []string{"TestKillOfAnExec"}},
	{id: "48", behaviour: "a shutdown that fails or takes too long is followed by a termination", tests: []string{"TestTeardownAfterTheExitOfInit"}},
	{id: "49", behaviour: "a signal shuts the system down gracefully, and the exit is handled in one place", tests: []string{"TestExecRunsBesideInit", "TestSignalOfWhatStopsAlready"}},
	{id: "50", behaviour: "a signal to a system that has stopped already succeeds", tests: []string{"TestSignalOfWhatStopsAlready", "TestPredicates"}},
	{id: "51", behaviour: "a termination is not followed by a shutdown", tests: []string{"TestTerminatedContainerIsNotShutDown"}},
	{id: "52", behaviour: "an exit whose code HCS does not return is not a success", tests: []string{"TestUnknownExitCodeIsNoSuccess"}},
	{id: "53", behaviour: "a crash after the exit of init is not a success", tests: []string{"TestACrashAfterTheExitOfInitIsNoSuccess"}},
	{id: "54", behaviour: "Restore ends what is left, waits for the end, and fails if it does not come", tests: []string{"TestRestoreEndsWhatIsLeft", "TestRestoreThatFailsReportsNoExit"}},
	{id: "55", behaviour: "if a build or an isolation cannot do something, the error says not implemented", tests: []string{"TestProcessIsolationCannotPause"}},
	{id: "56", behaviour: "every wait has an end", tests: []string{"TestEveryMethodIsBoundedWhicheverCallHangs", "TestTeardownAfterTheExitOfInit"}},
	{id: "57", behaviour: "pausing is for Hyper-V, its event comes without a lock, and a paused container can be stopped", tests: []string{"TestPauseAndResume", "TestProcessIsolationCannotPause", "TestReattachTakesUpAPausedContainer"}},
	{id: "58", behaviour: "statistics and processes come from HCS", tests: []string{"TestStatsAreHCSs", "TestSummary"}},
	{id: "59", behaviour: "the system is waited for besides the process, and servicing is not raced", tests: []string{"TestSlowTeardownHoldsUpNobody", "TestEveryProcessExitsWhenTheSystemEndsFirst"}},
	{id: "60", behaviour: "a feature that a build does not know is refused", tests: []string{"TestOldBuildsRefuseWhatTheyDoNotKnow"}},
	{id: "61", behaviour: "procedure not found does not mean stopped", tests: []string{"TestSignalReturnsTheError", "TestPredicates", "TestTeardownAfterTheExitOfInit"}},
	{id: "62", behaviour: "the pipes of a process are taken at once, and once", tests: []string{"TestCallsOfAContainersLife", "TestContainerRunsToItsExit"}},
	{id: "63", behaviour: "the simulator has several waiters, closes without an exit, and loses its service", tests: []string{"TestSimulatorPassesSuite", "TestLoseService", "TestLostAndLateNotifications"}},
	{id: "64", behaviour: "a create that takes too long is undone, a second kill is harmless, stdin is closed once, no stats are an error", tests: []string{"TestCreateOutlivesACallThatHangs", "TestKillOfAnExec", "TestStdinIsClosedOnBothEnds", "TestStatsAreHCSs"}},
	{id: "65", behaviour: "a shutdown that hangs in HCS does not hang its caller", tests: []string{"TestEveryMethodIsBoundedWhicheverCallHangs"}},
	{id: "66", behaviour: "output that HCS does not end is ended after a while", tests: []string{"TestOutputOutlivesItsProcessForAWhile"}},
	{id: "67", behaviour: "the system is watched, and when it ends its processes have ended", tests: []string{"TestEveryProcessExitsWhenTheSystemEndsFirst"}},
	{id: "68", behaviour: "processor affinity is refused", tests: []string{"TestBadOCIFieldsAreNamed"}},

	{id: "D1", behaviour: "a create that failed for the last time is an error", tests: []string{"TestCreateGivesUpAfterTheLastAttempt"}},
	{id: "D2", behaviour: "an error that does not come from HCS is not retried", tests: []string{"TestCreateGivesUpAfterTheLastAttempt"}},
	{id: "D3", behaviour: "the log counts the attempts right", tests: []string{"TestAttemptsAreCountedInTheLog"}},
	{id: "D4", behaviour: "the wait for the next attempt can be ended", tests: []string{"TestWaitForTheNextAttemptCanBeEnded"}},
	{id: "D5", behaviour: "of two creates of one id only one reaches HCS", tests: []string{"TestOfTwoCreatesOfOneIDOneReachesHCS", "TestIDInUseIsRefusedAndTheFirstLeftAlone"}},
	{id: "D6", behaviour: "a container whose start failed does not run", tests: []string{"TestCreateThatFailsLeavesNothing", "TestKillThatIsRefusedIsAnError"}},
	{id: "D7", behaviour: "a memory limit below 1 MiB is an error", tests: []string{"TestBadFieldsAreNamed"}},
	{id: "D8", behaviour: "a percentage outside 0…100 is an error", tests: []string{"TestBadFieldsAreNamed"}},
	{id: "D9", behaviour: "a negative limit is an error", tests: []string{"TestBadFieldsAreNamed"}},
	{id: "D10", behaviour: "a Hyper-V container has no volume path", tests: []string{"TestHyperVContainerHasNoVolumeButItsOwnVM"}},
	{id: "D11", behaviour: "layer ids have a name, documents are stable, ports are checked by name", tests: []string{"TestDocumentFieldsFollowTheSpec", "TestDocumentIsStable", "TestBadPortBindingsAreNamed", "TestOptionThatFailsFailsCreateBeforeHCSIsAsked", "TestSecretsAreNotLogged"}},
	{id: "D12", behaviour: "refused streams end the container", tests: []string{"TestCreateThatFailsLeavesNothing"}},
	{id: "D13", behaviour: "a refused start ends the container", tests: []string{"TestCreateThatFailsLeavesNothing"}},
	{id: "D14", behaviour: "a system whose start fails is terminated", tests: []string{"TestCreateThatFailsLeavesNothing"}},
	{id: "D15", behaviour: "after a failed create the id is free in HCS, too", tests: []string{"TestCreateThatFailsLeavesNothing"}},
	{id: "D16", behaviour: "exits are watched for after the start was reported", tests: []string{"TestExitNeverOvertakesTheStart", "TestExecExitFollowsItsAttachment"}},
	{id: "D17", behaviour: "no start is reported after an exit", tests: []string{"TestExitNeverOvertakesTheStart"}},
	{id: "D18", behaviour: "an exit code that HCS does not return is not reported as 0", tests: []string{"TestUnknownExitCodeIsNoSuccess"}},
	{id: "D19", behaviour: "if HCS does not return an exit code, the exit event says why", tests: []string{"TestUnknownExitCodeIsNoSuccess", "TestSystemWhoseWaitFailsIsEnded"}},
	{id: "D20", behaviour: "a system that does not shut down is terminated", tests: []string{"TestTeardownAfterTheExitOfInit"}},
	{id: "D21", behaviour: "the restart manager and the Backend are called without a lock", tests: []string{"TestRestartManagerMayCallTheClient", "TestBackendMayCallEveryMethodFromACallback", "TestEngineMayHoldItsLockWhileItCalls"}},
	{id: "D22", behaviour: "a restart waits for the old system, frees the old entry, reports its errors, and takes a nil channel", tests: []string{"TestRestartManagerStartsTheContainerAgain", "TestRestartThatFailsIsAnExit", "TestRestartIsNoFirstStart"}},
	{id: "D23", behaviour: "a container that has exited is unknown", tests: []string{"TestContainerRunsToItsExit", "TestUnknownIDIsNotFoundForEveryMethod"}},
	{id: "D24", behaviour: "waiting for an exit returns no error", because: "watchInit and watchSystem return nothing; errors travel in the exit event"},
	{id: "D25", behaviour: "an exit has a time", tests: []string{"TestContainerRunsToItsExit", "TestTeardownAfterTheExitOfInit"}},
	{id: "D26", behaviour: "exec'd processes exit before their container", tests: []string{"TestExecRunsBesideInit", "TestExecExitIsNotLostWhenTheContainerEndsMeanwhile"}},
	{id: "D27", behaviour: "a failed exec leaves no lock in a wrong state", tests: []string{"TestExecThatFailsLeavesNothing"}},
	{id: "D28", behaviour: "a failed exec does not go on", tests: []string{"TestExecThatFailsLeavesNothing"}},
	{id: "D29", behaviour: "the name of an exec is unique, and free after its exit", tests: []string{"TestExecNameIsFreeWhenItsExitIsHeardOf", "TestExecThatIsRefused"}},
	{id: "D30", behaviour: "the container may end while an exec is attached", tests: []string{"TestContainerEndsWhileAnExecIsBeingAttached"}},
	{id: "D31", behaviour: "an exec that hangs keeps nobody from ending the container", tests: []string{"TestContainerEndsWhileAnExecHangs"}},
	{id: "D32", behaviour: "empty args are an error, the user is honoured", tests: []string{"TestExecThatIsRefused", "TestProcessParameters"}},
	{id: "D33", behaviour: "a signal takes no longer than its limit", tests: []string{"TestEveryMethodIsBoundedWhicheverCallHangs", "TestKillGoesThroughASecondHandleWhenTheFirstHangs"}},
	{id: "D34", behaviour: "a signal that failed is an error", tests: []string{"TestSignalReturnsTheError"}},
	{id: "D35", behaviour: "signal 0 only checks, 9 terminates, others shut down gracefully", tests: []string{"TestIDInUseIsRefusedAndTheFirstLeftAlone", "TestSignalOfWhatStopsAlready", "TestClientBehavesAsItsModel"}},
	{id: "D36", behaviour: "an exec'd process can be signalled", tests: []string{"TestKillOfAnExec"}},
	{id: "D37", behaviour: "the engine decides what a manual stop means for a restart", tests: []string{"TestRestartManagerIsAskedAfterASignalToo"}},
	{id: "D38", behaviour: "the size of a console is checked, a missing process is named", tests: []string{"TestResizeThatIsRefused"}},
	{id: "D39", behaviour: "a summary needs no arguments", tests: []string{"TestSummary", "TestExecThatIsRefused"}},
	{id: "D40", behaviour: "dead processes are not listed", tests: []string{"TestEndedProcessIsNotListed", "TestSummary"}},
	{id: "D41", behaviour: "errors have kinds", tests: []string{"TestUnknownIDIsNotFoundForEveryMethod", "TestProcessIsolationCannotPause", "TestStatsAreHCSs"}},
	{id: "D42", behaviour: "UpdateResources names the limits that HCS cannot change", tests: []string{"TestUpdateResourcesSaysWhatCannotBeChanged"}},
	{id: "D43", behaviour: "Restore says what became of the container", tests: []string{"TestRestoreEndsWhatIsLeft"}},
	{id: "D44", behaviour: "a refused start fails Create, any other refusal is logged", tests: []string{"TestCreateThatFailsLeavesNothing", "TestRefusedEventIsLogged"}},
	{id: "D45", behaviour: "a read error reaches the reader, and an idle reader blocks nobody for ever", tests: []string{"TestReadErrorClosesThePipeAndIsPassedOn", "TestReadErrorReachesTheReader", "TestOutputOutlivesItsProcessForAWhile"}},
	{id: "D46", behaviour: "HCS is told that stdin has ended", tests: []string{"TestStdinIsClosedOnBothEnds"}},
	{id: "D47", behaviour: "every environment variable is sent that Windows accepts", tests: []string{"TestEnvironment"}},
	{id: "D48", behaviour: "fields that goroutines share are guarded by a lock", tests: []string{"TestManyContainersAtOnceWithFaults"}},
	{id: "D49", behaviour: "an init that ends while a signal hangs is reported", tests: []string{"TestInitThatEndsWhileASignalHangsIsReported"}},
	{id: "D50", behaviour: "a Backend may call the client from an exit or a restart", tests: []string{"TestBackendMayCallEveryMethodFromACallback"}},
	{id: "D51", behaviour: "a second create leaves the first container alone", tests: []string{"TestIDInUseIsRefusedAndTheFirstLeftAlone"}},
	{id: "D52", behaviour: "a create that failed is not restarted", tests: []string{"TestCreateThatFailsLeavesNothing"}},
	{id: "D53", behaviour: "a signal ends a pending restart", tests: []string{"TestWhileARestartIsPending"}},

	{id: "P1", behaviour: "the handle of a system whose start fails is closed", tests: []string{"TestCreateThatFailsLeavesNothing"}},
	{id: "P2", behaviour: "a Restore that fails leaks no handle and says why", tests: []string{"TestRestoreThatFailsReportsNoExit", "TestReattachThatFails"}},
	{id: "P3", behaviour: "no lock is held across HCS or a callback", tests: []string{"TestEveryMethodIsBoundedWhicheverCallHangs", "TestSlowTeardownHoldsUpNobody"}},
	{id: "P4", behaviour: "a container exits when its utility VM dies, and when it is killed and the notification is lost", tests: []string{"TestEveryProcessExitsWhenTheSystemEndsFirst", "TestKilledContainerExitsThoughNoNoticeComes"}},
	{id: "P5", behaviour: "the exit event says what went wrong in the teardown", tests: []string{"TestTeardownAfterTheExitOfInit", "TestACrashAfterTheExitOfInitIsNoSuccess"}},
	{id: "P6", behaviour: "nil parts of a document do not panic, and a root is matched", tests: []string{"TestSpecFromOCIToleratesNilPointers", "FuzzSpecFromOCI", "TestBadOCIFieldsAreNamed"}},
	{id: "P7", behaviour: "ids are unique", tests: []string{"TestIDInUseIsRefusedAndTheFirstLeftAlone"}},
	{id: "P8", behaviour: "a stop that failed is an error", tests: []string{"TestSignalReturnsTheError", "TestKillThatIsRefusedIsAnError"}},
	{id: "P9", behaviour: "the systems of an engine that died are found and ended", tests: []string{"TestReconcileEndsWhatNobodyClaims", "TestDocumentCarriesTheClientsSettings"}},
	{id: "P10", behaviour: "times are right, empty values kept, pipes that cannot be mounted refused", tests: []string{"TestStatsAndSummary", "TestEnvironment", "TestBadOCIFieldsAreNamed"}},
	{id: "P11", behaviour: "of names that differ in case one is sent", tests: []string{"TestEnvironment"}},
	{id: "P12", behaviour: "a memory limit below 1 MiB does not mean none", tests: []string{"TestBadFieldsAreNamed", "TestBadOCIFieldsAreNamed"}},
	{id: "P13", behaviour: "containers are taken up again, pids listed, updates answered", tests: []string{"TestReattachTakesUpARunningContainer", "TestSummary", "TestUpdateResourcesSaysWhatCannotBeChanged"}},
	{id: "P14", behaviour: "no exec'd process exits after its container", tests: []string{"TestExecExitIsNotLostWhenTheContainerEndsMeanwhile", "TestManyContainersAtOnceWithFaults"}},

	{id: "F22", behaviour: "a device that cannot be assigned is refused before HCS is asked", tests: []string{"TestBadOCIFieldsAreNamed"}},
	{id: "F23", behaviour: "the translation of a document never panics", tests: []string{"FuzzSpecFromOCI", "FuzzConfiguration2016", "TestSpecFromOCIToleratesNilPointers"}},
	{id: "F37", behaviour: "width is not height", tests: []string{"TestResizeTellsWidthFromHeight"}},
	{id: "F38", behaviour: "an exec does not outlive its container", tests: []string{"TestEveryProcessExitsWhenTheSystemEndsFirst"}},
	{id: "F41", behaviour: "no path leaks a handle", tests: []string{"TestExecThatFailsLeavesNothing", "TestCreateThatFailsLeavesNothing", "TestSoak"}},
	{id: "F44", behaviour: "an exit notification may be slow or lost", tests: []string{"TestTeardownAfterTheExitOfInit", "TestKilledContainerExitsThoughNoNoticeComes"}},
	{id: "F46", behaviour: "no lock is held across a wait or a callback", tests: []string{"TestEngineMayHoldItsLockWhileItCalls", "TestEveryMethodIsBoundedWhicheverCallHangs"}},
	{id: "F47", behaviour: "a restart of the engine leaves no zombie", tests: []string{"TestReconcileEndsWhatNobodyClaims", "TestRestoreEndsWhatIsLeft"}},
}

// Every lesson is kept by tests that exist.
func TestEveryLessonHasItsTest(t *testing.T) {
	known := testFunctions(t)
	for _, l := range lessons {
		if l.behaviour == "" || (len(l.tests) == 0) != (l.because != "") {
			t.Errorf("%s: wants a behaviour, and either tests or a reason", l.id)
		}
		for _, name := range l.tests {
			if !known[name] {
				t.Errorf("%s names %s, which does not exist", l.id, name)
			}
		}
	}
}

// No lesson is missing, and no failure that is known from the field: those that
// have a code are in the catalogue, the others among the lessons.
func TestNoLessonIsMissing(t *testing.T) {
	want := make(map[string]bool)
	for prefix, last := range map[string]int{"": 68, "D": 53, "P": 14} {
		for n := range last {
			want[fmt.Sprint(prefix, n+1)] = true
		}
	}
	coded := make(map[string]bool)
	for name := range failures {
		number, _, _ := strings.Cut(name, " ")
		coded[number] = true
	}
	for n := range 48 {
		if number := strconv.Itoa(n + 1); !coded[number] {
			want["F"+number] = true
		}
	}
	for _, l := range lessons {
		if !want[l.id] {
			t.Errorf("%s is there twice, or for nothing", l.id)
		}
		delete(want, l.id)
	}
	missing := slices.SortedFunc(func(yield func(string) bool) {
		for id := range want {
			if !yield(id) {
				return
			}
		}
	}, cmp.Compare[string])
	if len(missing) > 0 {
		t.Errorf("missing: %v", missing)
	}
}

// pointer is a comment's list of lessons, as "See lessons_test.go: 17, D7–D9, F10."
var pointer = regexp.MustCompile(`See\s+lessons_test\.go: ([^.]+)\.`)

// A number in the comment at a test leads to its lesson.
func TestCommentsNameLessonsThatExist(t *testing.T) {
	known := make(map[string]bool)
	for _, l := range lessons {
		known[l.id] = true
	}
	for name := range failures {
		number, _, _ := strings.Cut(name, " ")
		known["F"+number] = true
	}
	pointers := 0
	for _, path := range glob(t, "*_test.go") {
		for _, comment := range commentsOf(t, path) {
			for _, found := range pointer.FindAllStringSubmatch(comment, -1) {
				pointers++
				for _, id := range spread(found[1]) {
					if !known[id] {
						t.Errorf("%s: a comment names lesson %s, which does not exist: %s", path, id, comment)
					}
				}
			}
		}
	}
	if pointers < 10 {
		t.Errorf("%d comments name lessons: this test no longer finds them", pointers)
	}
}

// commentsOf returns the comments at the functions of a file.
func commentsOf(t *testing.T, path string) (comments []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			comments = append(comments, f.Doc.Text())
		}
	}
	return comments
}

// spread returns the numbers in a list such as "17, D7–D9".
func spread(list string) (ids []string) {
	for id := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(id), "–")
		prefix := strings.TrimRight(first, "0123456789")
		from, _ := strconv.Atoi(strings.TrimPrefix(first, prefix))
		to, _ := strconv.Atoi(strings.TrimPrefix(last, prefix))
		ids = append(ids, first)
		for n := from + 1; isRange && n <= to; n++ {
			ids = append(ids, fmt.Sprint(prefix, n))
		}
	}
	return ids
}

// testFunctions are the tests, fuzz targets and examples of this module, those
// for Windows included.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	functions := make(map[string]bool)
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == "build" {
			return fs.SkipDir // nothing of ours
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				functions[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return functions
}
