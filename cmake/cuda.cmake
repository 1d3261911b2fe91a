# Compiles src/backend/cuda/kernels/*.cu, where there is nvcc, for the architectures below and as PTX for later ones, and writes
# cuda_images.c, the table by which the library holds them (images.h). Without nvcc the table is empty. Nothing of CUDA is
# linked: the library finds the driver when it runs.
set(SUMI_CUDA AUTO CACHE STRING "GPU kernels: ON, OFF, or AUTO: where nvcc is")
string(TOUPPER "${SUMI_CUDA}" SUMI_CUDA)
set(cuda_architectures 80 89 90)
set(CUDA_IMAGES ${CMAKE_CURRENT_BINARY_DIR}/cuda_images.c)

if(NOT SUMI_CUDA STREQUAL OFF)
	find_program(NVCC nvcc HINTS /usr/local/cuda/bin)
	if(NOT NVCC AND NOT SUMI_CUDA STREQUAL AUTO)
		message(FATAL_ERROR "SUMI_CUDA=${SUMI_CUDA}, but there is no nvcc")
	endif()
endif()

set(declarations "")
set(rows "")
if(NVCC AND NOT SUMI_CUDA STREQUAL OFF)
	set(targets -gencode arch=compute_80,code=compute_80)
	foreach(a ${cuda_architectures})
		list(APPEND targets -gencode arch=compute_${a},code=sm_${a})
	endforeach()
	file(GLOB kernel_files CONFIGURE_DEPENDS src/backend/cuda/kernels/*.cu)
	file(GLOB kernel_headers CONFIGURE_DEPENDS src/backend/cuda/kernels/*.h src/backend/cuda/kernels/*.cuh)
	foreach(source ${kernel_files})
		get_filename_component(name ${source} NAME_WE)
		set(image ${CMAKE_CURRENT_BINARY_DIR}/cuda/${name}.fatbin)
		add_custom_command(OUTPUT ${image}
			COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/cuda
			COMMAND ${NVCC} -std=c++17 -O3 -Werror all-warnings --threads 0 -fatbin -I${CMAKE_CURRENT_SOURCE_DIR}/src ${targets}
				${source} -o ${image}
			DEPENDS ${source} ${kernel_headers} COMMENT "GPU kernels: ${name}.cu" VERBATIM)
		list(APPEND images ${image})
		string(APPEND declarations "extern const unsigned char cuda_image_${name}[];\n__asm__(\".section .rodata\\n.balign 64\\n.hidden cuda_image_${name}\\n.globl cuda_image_${name}\\ncuda_image_${name}:\\n.incbin \\\"${image}\\\"\\n.previous\");\n")
		string(APPEND rows "\tcuda_image_${name},\n")
	endforeach()
endif()
file(CONFIGURE OUTPUT ${CUDA_IMAGES} CONTENT "/* Made by cmake/cuda.cmake. */
#include \"backend/cuda/images.h\"
#include <stddef.h>
${declarations}
const void *const cuda_images[] = {
${rows}\tNULL,
};
" @ONLY)
set_source_files_properties(${CUDA_IMAGES} PROPERTIES OBJECT_DEPENDS "${images}")
# What compiles cuda_images.c waits for this target: else each would run nvcc for itself, at the same time and to the same files.
add_custom_target(cuda_kernels DEPENDS ${images})
