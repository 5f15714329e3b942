// Bits of the control fields and of the registers that VM-entry checks (SDM Vol. 3C 25.6 to 25.8, Vol. 3A 2.5).
#pragma once

#include <cstdint>

namespace vmxscope::vmx {

constexpr std::uint64_t bit(unsigned n) {
    return 1ULL << n;
}
/// Bits `high`:`low` set, 63 >= high >= low.
constexpr std::uint64_t bits(unsigned high, unsigned low) {
    return (~0ULL >> (63 - high)) & (~0ULL << low);
}

namespace pin {  // PIN_BASED_VM_EXEC_CONTROL
inline constexpr std::uint64_t kExternalInterruptExiting = bit(0), kNmiExiting = bit(3), kVirtualNmis = bit(5),
                               kPreemptionTimer = bit(6), kPostedInterrupts = bit(7);
}

namespace proc {  // CPU_BASED_VM_EXEC_CONTROL
inline constexpr std::uint64_t kInterruptWindowExiting = bit(2), kTscOffsetting = bit(3), kHltExiting = bit(7),
                               kInvlpgExiting = bit(9), kMwaitExiting = bit(10), kRdpmcExiting = bit(11),
                               kRdtscExiting = bit(12), kCr3LoadExiting = bit(15), kCr3StoreExiting = bit(16),
                               kTertiaryControls = bit(17), kCr8LoadExiting = bit(19), kCr8StoreExiting = bit(20),
                               kTprShadow = bit(21), kNmiWindowExiting = bit(22), kMovDrExiting = bit(23),
                               kUnconditionalIoExiting = bit(24), kIoBitmaps = bit(25), kMonitorTrapFlag = bit(27),
                               kMsrBitmaps = bit(28), kMonitorExiting = bit(29), kPauseExiting = bit(30),
                               kSecondaryControls = bit(31);
}

namespace secondary {  // SECONDARY_VM_EXEC_CONTROL
inline constexpr std::uint64_t kApicAccesses = bit(0), kEpt = bit(1), kDescriptorTableExiting = bit(2),
                               kRdtscp = bit(3), kX2apicMode = bit(4), kVpid = bit(5), kWbinvdExiting = bit(6),
                               kUnrestrictedGuest = bit(7), kApicRegisters = bit(8), kInterruptDelivery = bit(9),
                               kPauseLoopExiting = bit(10), kRdrandExiting = bit(11), kInvpcid = bit(12),
                               kVmFunctions = bit(13), kShadowVmcs = bit(14), kEnclsExiting = bit(15),
                               kRdseedExiting = bit(16), kPml = bit(17), kVe = bit(18), kXsaves = bit(20),
                               kPasid = bit(21), kModeBasedExecute = bit(22), kSubPageWrite = bit(23),
                               kPtUsesGuestPhysical = bit(24), kTscScaling = bit(25), kUserWaitAndPause = bit(26),
                               kPconfig = bit(27), kEnclvExiting = bit(28), kNotifyVmExiting = bit(31);
}

namespace tertiary {  // TERTIARY_VM_EXEC_CONTROL
inline constexpr std::uint64_t kHlat = bit(1), kEptPagingWrite = bit(2), kGuestPagingVerification = bit(3),
                               kIpiVirtualization = bit(4), kVirtualizeSpecCtrl = bit(7);
}

namespace exits {  // VM_EXIT_CONTROLS
inline constexpr std::uint64_t kSaveDebug = bit(2), kHostAddressSpaceSize = bit(9), kLoadPerfGlobalCtrl = bit(12),
                               kAcknowledgeInterrupt = bit(15), kSavePat = bit(18), kLoadPat = bit(19),
                               kSaveEfer = bit(20), kLoadEfer = bit(21), kSavePreemptionTimer = bit(22),
                               kClearBndcfgs = bit(23), kClearRtitCtl = bit(25), kLoadCet = bit(28), kLoadPkrs = bit(29),
                               kSecondaryControls = bit(31);
}

namespace exits2 {  // SECONDARY_VM_EXIT_CONTROLS
inline constexpr std::uint64_t kLoadFred = bit(1);
}

namespace entries {  // VM_ENTRY_CONTROLS
inline constexpr std::uint64_t kLoadDebug = bit(2), kIa32eGuest = bit(9), kSmm = bit(10),
                               kDeactivateDualMonitor = bit(11), kLoadPerfGlobalCtrl = bit(13), kLoadPat = bit(14),
                               kLoadEfer = bit(15), kLoadBndcfgs = bit(16), kLoadRtitCtl = bit(18), kLoadUinv = bit(19),
                               kLoadCet = bit(20), kLoadLbrCtl = bit(21), kLoadPkrs = bit(22), kLoadFred = bit(23);
}

namespace cr0 {
inline constexpr std::uint64_t kPe = bit(0), kWp = bit(16), kNw = bit(29), kCd = bit(30), kPg = bit(31);
}
namespace cr4 {
inline constexpr std::uint64_t kPae = bit(5), kPcide = bit(17), kCet = bit(23), kLamSup = bit(28), kFred = bit(32);
}
namespace efer {
inline constexpr std::uint64_t kSce = bit(0), kLme = bit(8), kLma = bit(10), kNx = bit(11);
}
namespace rflags {
inline constexpr std::uint64_t kTf = bit(8), kIf = bit(9), kVm = bit(17);
}
namespace access_rights {  // SDM table 25-2
inline constexpr std::uint64_t kType = bits(3, 0), kS = bit(4), kDpl = bits(6, 5), kP = bit(7), kL = bit(13),
                               kDb = bit(14), kG = bit(15), kUnusable = bit(16), kReserved = bits(11, 8) | bits(31, 17);
}
namespace selector {
inline constexpr std::uint64_t kRpl = bits(1, 0), kTi = bit(2);
}
namespace interruptibility {  // SDM table 25-3
inline constexpr std::uint64_t kSti = bit(0), kMovSs = bit(1), kSmi = bit(2), kNmi = bit(3), kEnclave = bit(4);
}
namespace activity {
inline constexpr std::uint64_t kActive = 0, kHlt = 1, kShutdown = 2, kWaitForSipi = 3;
}
namespace injection {  // VM_ENTRY_INTR_INFO_FIELD, SDM table 25-17
inline constexpr std::uint64_t kVector = bits(7, 0), kType = bits(10, 8), kDeliverErrorCode = bit(11),
                               kNestedException = bit(13), kValid = bit(31);
inline constexpr std::uint64_t kExternalInterrupt = 0, kNmi = 2, kHardwareException = 3, kSoftwareInterrupt = 4,
                               kPrivilegedSoftwareException = 5, kSoftwareException = 6, kOther = 7;
}  // namespace injection
namespace pending_debug {  // SDM table 25-4
inline constexpr std::uint64_t kEnabledBreakpoint = bit(12), kBs = bit(14), kRtm = bit(16);
}
namespace debugctl {
inline constexpr std::uint64_t kBtf = bit(1);
}

}  // namespace vmxscope::vmx
