/* NVIDIA's management library as MAX's DeviceContext calls it, for the one device of cuda_driver.c. */
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };

int cuDeviceGetAttribute(int* value, int number, int device);
int cuDeviceGetName(char* name, int size, int device);

static void* const DEVICE = (void*)1;

int nvmlInit_v2(void) {
  return SUCCESS;
}

int nvmlShutdown(void) {
  return SUCCESS;
}

const char* nvmlErrorString(int error) {
  return error == SUCCESS ? "Success" : "Not Supported";
}

int nvmlSystemGetDriverVersion(char* version, unsigned size) {
  strncpy(version, "580.00", size);
  return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 1;
  return SUCCESS;
}

int nvmlDeviceGetHandleByIndex(unsigned index, void** device) {
  *device = DEVICE;
  return SUCCESS;
}

int nvmlDeviceGetName(void* device, char* name, unsigned size) {
  return cuDeviceGetName(name, (int)size, 0);
}

int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor) {
  cuDeviceGetAttribute(major, CAPABILITY_MAJOR, 0);
  return cuDeviceGetAttribute(minor, CAPABILITY_MINOR, 0);
}

int nvmlDeviceGetMigMode(void* device, unsigned* current, unsigned* pending) {
  *current = *pending = 0;
  return SUCCESS;
}

struct PciInfo { /* nvmlPciInfo_t */
  char legacy_bus_id[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

/* MAX compares the location with the driver's, which is all zeros too. */
int nvmlDeviceGetPciInfo_v3(void* device, struct PciInfo* info) {
  *info = (struct PciInfo){.legacy_bus_id = "0000:00:00.0", .bus_id = "00000000:00:00.0"};
  return SUCCESS;
}

/* ---- what MAX looks up and the project's launch code does not call ---- */

#define NOT_EMULATED(name) \
  int name(void) {         \
    return NOT_SUPPORTED;  \
  }

NOT_EMULATED(nvmlDeviceGetComputeRunningProcesses_v3)
NOT_EMULATED(nvmlDeviceGetCurrentClocksThrottleReasons)
NOT_EMULATED(nvmlDeviceGetMemoryInfo)
NOT_EMULATED(nvmlDeviceGetTotalEccErrors)
