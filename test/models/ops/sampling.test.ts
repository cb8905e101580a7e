import { describeGradients } from '#test/support/describe-gradients.ts';
import { samplingCases } from './cases/sampling.ts';

describeGradients('grid sampling, blocks and unpooling', samplingCases);
