/* images.h - the kernels as nvcc compiled them: one file for each *.cu, machine code for several architectures and PTX
 * for later ones. The build makes the table, empty where there is no nvcc. */
#ifndef SUMI_BACKEND_CUDA_IMAGES_H
#define SUMI_BACKEND_CUDA_IMAGES_H

extern const void *const cuda_images[]; /* ends with NULL */

#endif
