"""Trajectories of diffusers' schedulers on the samplers' elementwise model, in the form of golden/samplers.

    python tests/goldens/schedulers.py OUT [all]

OUT/index.json holds the cases, OUT/schedulers.safetensors the first latent, the noise that was drawn, and the latent
after each call. "all" tries many more configurations than the goldens keep. Needs torch, diffusers, scipy, safetensors."""
import inspect, json, math, os, sys, warnings
import torch, diffusers
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
PARAMS = dict(a=0.3, f="sin", b=1000.0, c=0.1, g="tanh", d=1.0, e=0.0)
SHAPE = (1, 4, 4, 4)
SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def model(x, t):
    t = torch.tensor(float(t), dtype=torch.float32)
    return (0.3 * x * torch.sin(t / 1000.0) + 0.1 * torch.tanh(x)).to(torch.float32)


def run(class_name, config, steps, step_args, strength):
    scheduler = getattr(diffusers, class_name)(**config)
    drawn, generator = [], torch.Generator().manual_seed(1)
    module = sys.modules[type(scheduler).__module__]

    def draw(*args, **kwargs):
        drawn.append(torch.randn(SHAPE, generator=generator))
        return drawn[-1]

    if hasattr(module, "randn_tensor"):
        module.randn_tensor = draw
    mu = step_args.get("mu")
    scheduler.set_timesteps(steps, **({"mu": mu} if mu is not None else {}))
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    sigma = float(getattr(scheduler, "init_noise_sigma", 1.0))
    x, times, tensors = noise * sigma, scheduler.timesteps, {}
    if strength is not None:  # as the pipelines' get_timesteps and prepare_latents
        start = max(steps - min(int(steps * strength), steps), 0) * getattr(scheduler, "order", 1)
        times = times[start:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
        original = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))
        add = scheduler.add_noise if hasattr(scheduler, "add_noise") else scheduler.scale_noise
        x = add(original, noise, times[:1]) if add.__name__ == "add_noise" else add(original, times[:1], noise)
        tensors = {"original": original, "noise0": noise}
    tensors["x.0"] = x.clone()
    accepted = inspect.signature(scheduler.step).parameters
    extra = {k: v for k, v in step_args.items() if k in accepted}
    for i, t in enumerate(times):
        before = len(drawn)
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(model(scaled, t), t, x, **extra).prev_sample.to(torch.float32)
        tensors[f"x.{i + 1}"] = x.clone()
        if len(drawn) > before:
            assert len(drawn) == before + 1
            tensors[f"noise.{i}"] = drawn[-1]
    return [float(t) for t in times], sigma, tensors, json.loads(scheduler.to_json_string())


def cases(everything):
    """name, class, configuration, arguments of step"""
    flow = dict(prediction_type="flow_prediction", use_flow_sigmas=True)
    spacings = ("leading", "trailing", "linspace")
    sets = {
        "DDPMScheduler": [dict(clip_sample=False), dict(clip_sample=True), dict(clip_sample=True, clip_sample_range=2.0),
            dict(clip_sample=False, variance_type="fixed_large"), dict(clip_sample=True, prediction_type="v_prediction")],
        "DDIMScheduler": [dict(clip_sample=False), dict(clip_sample=True), dict(clip_sample=True, clip_sample_range=2.0),
            dict(clip_sample=True, prediction_type="v_prediction"), dict(clip_sample=True, prediction_type="sample"),
            dict(clip_sample=False, set_alpha_to_one=False), dict(clip_sample=False, rescale_betas_zero_snr=True, prediction_type="v_prediction")],
        "PNDMScheduler": [dict(skip_prk_steps=True), dict(skip_prk_steps=False), dict(skip_prk_steps=True, set_alpha_to_one=True),
            dict(skip_prk_steps=True, prediction_type="v_prediction"), dict(skip_prk_steps=True, timestep_spacing="linspace"),
            dict(skip_prk_steps=True, timestep_spacing="trailing", steps_offset=1)],
        "EulerDiscreteScheduler": [dict(), dict(prediction_type="v_prediction"), dict(interpolation_type="log_linear"),
            dict(interpolation_type="log_linear", timestep_type="continuous"), dict(timestep_type="continuous", prediction_type="v_prediction"),
            dict(timestep_type="continuous", use_karras_sigmas=True, prediction_type="v_prediction"),
            dict(timestep_type="continuous", use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0, prediction_type="v_prediction"),
            dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True), dict(use_beta_sigmas=True),
            dict(final_sigmas_type="sigma_min"), dict(rescale_betas_zero_snr=True, prediction_type="v_prediction"), dict(prediction_type="sample")],
        "EulerAncestralDiscreteScheduler": [dict(), dict(beta_schedule="squaredcos_cap_v2"), dict(prediction_type="v_prediction"), dict(rescale_betas_zero_snr=True, prediction_type="v_prediction")],
        "HeunDiscreteScheduler": [dict(), dict(prediction_type="v_prediction"), dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True),
            dict(use_beta_sigmas=True), dict(clip_sample=True), dict(prediction_type="sample")],
        "LMSDiscreteScheduler": [dict(), dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True), dict(prediction_type="v_prediction")],
        "KDPM2DiscreteScheduler": [dict(), dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True), dict(use_beta_sigmas=True), dict(prediction_type="v_prediction")],
        "KDPM2AncestralDiscreteScheduler": [dict(), dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True), dict(use_beta_sigmas=True), dict(prediction_type="v_prediction")],
        "DPMSolverMultistepScheduler": [dict(solver_order=o, algorithm_type=a, solver_type=s, final_sigmas_type=f)
                for o in (1, 2, 3) for a, f in (("dpmsolver++", "zero"), ("sde-dpmsolver++", "zero"), ("dpmsolver", "sigma_min"), ("sde-dpmsolver", "sigma_min"))
                for s in ("midpoint", "heun")] +
            [dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True), dict(use_beta_sigmas=True), dict(use_lu_lambdas=True),
             dict(euler_at_final=True), dict(lower_order_final=False, final_sigmas_type="sigma_min"), dict(lambda_min_clipped=-5.1), dict(prediction_type="v_prediction"), dict(prediction_type="sample"),
             dict(rescale_betas_zero_snr=True, prediction_type="v_prediction"), flow, dict(flow_shift=3.0, **flow),
             dict(flow_shift=3.0, solver_order=3, **flow), dict(flow_shift=3.0, algorithm_type="sde-dpmsolver++", **flow),
             dict(flow_shift=3.0, final_sigmas_type="sigma_min", **flow), dict(flow_shift=3.0, use_karras_sigmas=True, prediction_type="flow_prediction"),
             dict(prediction_type="flow_prediction")],
        "DPMSolverSinglestepScheduler": [dict(solver_order=o, algorithm_type=a, solver_type=s, lower_order_final=l, final_sigmas_type=f)
                for o in (1, 2, 3) for a, f in (("dpmsolver++", "zero"), ("dpmsolver", "sigma_min"), ("sde-dpmsolver++", "sigma_min"))
                for s in ("midpoint", "heun") for l in (True, False)] +
            [dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True), dict(use_beta_sigmas=True), dict(prediction_type="v_prediction"),
             dict(final_sigmas_type="sigma_min"), dict(flow_shift=3.0, **flow), flow],
        "UniPCMultistepScheduler": [dict(solver_order=o, solver_type=s, predict_x0=p, final_sigmas_type=f)
                for o in (1, 2, 3) for s in ("bh1", "bh2") for p, f in ((True, "zero"), (True, "sigma_min"), (False, "sigma_min"))] +
            [dict(disable_corrector=[0]), dict(disable_corrector=[0, 1, 2]), dict(disable_corrector=[3]), dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True),
             dict(use_beta_sigmas=True), dict(prediction_type="v_prediction"), dict(rescale_betas_zero_snr=True, prediction_type="v_prediction"),
             flow, dict(flow_shift=3.0, **flow), dict(flow_shift=3.0, solver_order=3, **flow), dict(flow_shift=3.0, solver_type="bh1", **flow),
             dict(flow_shift=5.0, disable_corrector=[0], **flow), dict(lower_order_final=False, final_sigmas_type="sigma_min"),
             dict(use_karras_sigmas=True, sigma_min=0.05, sigma_max=10.0, final_sigmas_type="sigma_min"), dict(use_dynamic_shifting=True, **flow)],
        "DEISMultistepScheduler": [dict(solver_order=o) for o in (1, 2, 3)] +
            [dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True), dict(use_beta_sigmas=True), dict(prediction_type="v_prediction"),
             dict(lower_order_final=False), flow, dict(flow_shift=3.0, **flow), dict(flow_shift=3.0, solver_order=3, **flow), dict(use_dynamic_shifting=True, **flow)],
        "LCMScheduler": [dict(), dict(prediction_type="v_prediction"), dict(clip_sample=True), dict(set_alpha_to_one=False), dict(original_inference_steps=100), dict(timestep_scaling=5.0)],
        "TCDScheduler": [dict(), dict(prediction_type="v_prediction"), dict(clip_sample=True), dict(set_alpha_to_one=False)],
        "FlowMatchEulerDiscreteScheduler": [dict(), dict(shift=3.0), dict(use_dynamic_shifting=True), dict(shift=3.0, use_karras_sigmas=True),
            dict(shift=3.0, use_exponential_sigmas=True), dict(shift=3.0, use_beta_sigmas=True), dict(shift=3.0, stochastic_sampling=True),
            dict(use_dynamic_shifting=True, time_shift_type="linear"), dict(shift=3.0, shift_terminal=0.1), dict(shift=3.0, invert_sigmas=True)],
        "FlowMatchHeunDiscreteScheduler": [dict(), dict(shift=3.0)],
    }
    args = {"TCDScheduler": [dict(eta=0.3), dict(eta=0.0)], "DDIMScheduler": [dict(eta=0.0), dict(eta=1.0)]}
    for name, configs in sets.items():
        parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
        variants = []
        for c in configs:
            base = {**(SD if "beta_start" in parameters else {}), **c}
            variants.append(base)
            if "timestep_spacing" in parameters and everything:
                for s in spacings:
                    for o in ((0, 1) if "steps_offset" in parameters else (0,)):
                        v = {**base, "timestep_spacing": s}
                        if o: v["steps_offset"] = o
                        variants.append(v)
        for c in variants:
            for a in args.get(name, [dict(mu=0.8) if c.get("use_dynamic_shifting") else {}]):
                yield name, c, a, None
                if c is variants[0] or c.get("disable_corrector") or name == "PNDMScheduler" and c["skip_prk_steps"] or everything:
                    yield name, c, a, 0.6
                if name == "PNDMScheduler" and c["skip_prk_steps"] or everything:
                    yield name, c, a, 0.9


def main(out, everything):
    os.makedirs(out, exist_ok=True)
    index, tensors = {}, {}
    counts = (1, 3, 10, 15, 33) if everything else (7,)
    for class_name, config, step_args, strength in cases(everything):
        for steps in counts if not config.get("rescale_betas_zero_snr") else counts[1 if everything else 0:]:
            label = ",".join(f"{k}={v}" for k, v in {**config, **step_args}.items() if SD.get(k) != v)
            label += f",strength={strength}" if strength is not None else ""
            name = f"{class_name}/{label}/{steps}"
            try:
                times, sigma, found, written = run(class_name, config, steps, step_args, strength)
            except Exception as e:
                if "-v" in sys.argv: print("diffusers refuses", name, type(e).__name__, str(e)[:80])
                continue
            last = max(int(k[2:]) for k in found if k.startswith("x."))
            if not all(torch.isfinite(v).all() for v in found.values()):
                if "-v" in sys.argv: print("not finite", name)
                continue
            index[name] = {"class": class_name, "file": "schedulers.safetensors", "config": written, "num_inference_steps": steps,
                "init_noise_sigma": sigma, "timesteps": times, "step_args": step_args}
            if strength is not None:
                index[name]["strength"] = strength
            for k, v in found.items():
                tensors[f"{name}/{k}"] = v.contiguous()
    json.dump({"diffusers": diffusers.__version__, "model_params": PARAMS, "cases": index}, open(out + "/index.json", "w"), indent=0)
    save_file(tensors, out + "/schedulers.safetensors")
    print(len(index), "cases")


main(sys.argv[1], "all" in sys.argv)
